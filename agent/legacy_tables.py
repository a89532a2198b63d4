"""iptables' legacy tables, as the kernel holds them: what their rules do with marks.

Asked by getsockopt, as iptables does, since our image has no iptables. Reads only the tables that
there are: asking for another would make it.
"""

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal

from outgate.agent.node_state import MarkUse
from outgate.agent.xt_marks import of_xtables, perhaps
from outgate.daemon.netlink import text

_TRIES = 3  # somebody may write between the two questions

# linux/netfilter_ipv4/ip_tables.h, netfilter_ipv6/ip6_tables.h
_GET_INFO, _GET_ENTRIES = 64, 65
_INFO = struct.Struct("=32sI5I5III")
_ENTRIES = 40  # offset in struct ipt_get_entries: a name, a size, aligned
_HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
_LENGTHS = struct.Struct("=HH")
_EXTENSION = struct.Struct("=H29sB")  # struct xt_entry_match, _target


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are in a family's entries: the offsets of its lengths and of its matches."""

    family: socket.AddressFamily
    level: int
    lengths: int
    matches: int


LAYOUTS: dict[Literal[4, 6], Layout] = {
    4: Layout(socket.AF_INET, socket.IPPROTO_IP, 88, 112),
    6: Layout(socket.AF_INET6, socket.IPPROTO_IPV6, 140, 168),
}

_libc = ctypes.CDLL(None, use_errno=True)


def mark_uses(table: str, *, version: Literal[4, 6]) -> Iterator[MarkUse]:
    """What the table's rules do with marks; nothing if it is gone. Raises OSError."""
    layout = LAYOUTS[version]
    with closing(socket.socket(layout.family, socket.SOCK_DGRAM)) as channel:
        for left in reversed(range(_TRIES)):
            try:
                info = _ask(channel, layout, _GET_INFO, _INFO.pack(table.encode(), *(0,) * 13))
                *head, size = _INFO.unpack(info)
                question = struct.pack("=32sIxxxx", table.encode(), size) + bytes(size)
                blob = _ask(channel, layout, _GET_ENTRIES, question)[_ENTRIES:]
                break
            except OSError as error:
                if error.errno == errno.ENOENT:
                    return
                if error.errno != errno.EAGAIN or not left:
                    raise
    name = f"{'ip' if version == 4 else 'ip6'} {table} (iptables-legacy)"
    yield from uses_in(blob, layout, hooks=_chains(head), table=name)


def uses_in(blob: bytes, layout: Layout, *, hooks: dict[int, str], table: str) -> Iterator[MarkUse]:
    """What the entries do with marks. hooks: where the built-in chains begin."""
    at, chain = 0, ""
    while at + layout.matches <= len(blob):
        chain = hooks.get(at, chain)
        target, length = _LENGTHS.unpack_from(blob, at + layout.lengths)
        if not layout.matches <= target < length:
            return  # not an entry: nothing more can be read
        entry = blob[at + layout.matches : at + length]
        at += length
        if not perhaps(entry) and b"ERROR\0" not in entry:
            continue
        extensions = list(_extensions(entry))
        comment = next((text(data) for name, _, data in extensions if name == "comment"), "")
        for name, revision, data in extensions:
            if name == "ERROR":
                chain = text(data)  # the head of a chain, or the end of the table
            for use in of_xtables(name, revision, data):
                yield replace(use, table=table, chain=chain, comment=comment)


def _extensions(data: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Name, revision and data of each match, then of the target."""
    at = 0
    while at + _EXTENSION.size <= len(data):
        size, name, revision = _EXTENSION.unpack_from(data, at)
        if size < _EXTENSION.size:
            return
        yield text(name), revision, data[at + _EXTENSION.size : at + size]
        at += size


def _chains(head: list[int]) -> dict[int, str]:
    _, valid, *numbers = head
    return {numbers[hook]: name for hook, name in enumerate(_HOOKS) if valid >> hook & 1}


def _ask(channel: socket.socket, layout: Layout, what: int, question: bytes) -> bytes:
    buffer = ctypes.create_string_buffer(question, len(question))
    length = ctypes.c_uint32(len(question))
    if _libc.getsockopt(channel.fileno(), layout.level, what, buffer, ctypes.byref(length)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "iptables-legacy")
    return buffer.raw[: length.value]
