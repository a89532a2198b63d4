"""The kernel's flow table at both ends of a hand-over: read the flows of egress ids, make entries.

Both work in steps, so that the process goes on renewing its leases meanwhile.
"""

import errno
import os
import socket
import struct
from collections.abc import Collection, Iterable, Iterator, Set
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from outgate.daemon.closing import Closing
from outgate.daemon.conntrack import tracked_flows
from outgate.daemon.netlink import NETFILTER, Netlink
from outgate.vip.flows.ctnetlink import (
    GET,
    HEADER,
    creation,
    deletion,
    listing,
    parse,
    removal,
)
from outgate.vip.flows.entries import LOCAL, Entry, Seen, Timeouts
from outgate.vip.flows.errors import TableRefused

FEW = 16
"""Egress ids that the kernel may be asked about one by one: each time it walks its table, 3 ms."""

WALK = 300
"""Entries that take as long to read as such a walk that finds none."""

STEP = 64
"""Entries that are made or read before others have their turn: 1 to 2 ms."""

_ID_MASK = 0xFFFF0000
_SOL_NETLINK, _CAP_ACK = 270, 10  # linux/netlink.h: errors don't repeat the message
_ERROR = 2
_RECEIVE = 1 << 17
_BUFFER = 1 << 20  # bytes: the answers to a step, should all be refused
_SYSCTL = Path("/proc/sys/net/netfilter")


def timeouts() -> Timeouts:
    """Those of this thread's network namespace; Linux' defaults where they can't be read."""
    default = Timeouts()
    return Timeouts(
        tcp=_seconds("nf_conntrack_tcp_timeout_established", default.tcp),
        udp=_seconds("nf_conntrack_udp_timeout", default.udp),
        udp_stream=_seconds("nf_conntrack_udp_timeout_stream", default.udp_stream),
        icmp=_seconds("nf_conntrack_icmp_timeout", default.icmp),
        icmpv6=_seconds("nf_conntrack_icmpv6_timeout", default.icmpv6),
    )


class FlowTable(Closing):
    """Lists entries. Opens sockets in the network namespace of the thread that lists.

    They stay open: where one of Netfilter's is closed, the kernel waits for all that nf_tables has
    to do, tenths of a second on a busy node, and keeps the lock of transactions meanwhile.
    """

    def __init__(self) -> None:
        self._idle: list[Netlink] = []

    def local(self, egress_ids: Collection[int]) -> Iterator[list[Seen]]:
        """Those of this node's pods under the egress ids, some at a time. Raises TableRefused."""
        wanted = frozenset(egress_ids)
        for mark, mask in _questions(wanted, LOCAL):
            for some in self.listed(mark, mask):
                yield [seen for seen in some if seen.mark >> 16 in wanted]

    def came(self, egress_ids: Collection[int]) -> Iterator[list[bytes]]:
        """Those that came by the tunnel under the egress ids, and maybe others: the messages'
        bodies, some at a time. Raises TableRefused.
        """
        for mark, mask in _questions(egress_ids, 0):
            yield from self._bodies(mark, mask)

    def listed(self, mark: int, mask: int) -> Iterator[list[Seen]]:
        """All of this mark under the mask, some at a time. Raises TableRefused."""
        for some in self._bodies(mark, mask):
            yield [seen for body in some if (seen := parse(body)) is not None]

    def _bodies(self, mark: int, mask: int) -> Iterator[list[bytes]]:
        netlink: Netlink | None = None
        whole = False
        try:
            netlink = self._idle.pop() if self._idle else Netlink(NETFILTER)
            payloads = netlink.dump(GET, listing(mark, mask))
            while some := list(islice(payloads, STEP)):
                yield some
            whole = True
        except OSError as error:
            raise TableRefused(f"list flows of mark {mark:#x}/{mask:#x}: {error}") from error
        finally:
            if netlink is not None and whole:
                self._idle.append(netlink)
            elif netlink is not None:
                netlink.close()  # what it has not read is of no list any more

    def close(self) -> None:
        """Closes the sockets that no list is using."""
        while self._idle:
            self._idle.pop().close()


@dataclass(slots=True)
class Made:
    """What became of the entries so far.

    created: new. replaced: there was one of the same flow, from when this node held the address
    before, or from a packet that came first. kept: there was one, and it was to stay. taken: not
    made, since another flow has that port towards that destination. full: not made, for want of
    room in the table or of memory.
    """

    created: int = 0
    replaced: int = 0
    kept: int = 0
    taken: int = 0
    full: int = 0
    refused: int = 0
    reason: str = ""


class Inserter(Closing):
    """Makes entries in this thread's network namespace (needs CAP_NET_ADMIN). For one thread."""

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETFILTER
            )
            self._socket.setblocking(False)
            self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        except OSError as error:
            raise TableRefused(f"no conntrack socket: {error}") from error
        self._table = FlowTable()
        self.made = Made()

    def insert(self, entries: Iterable[Entry], *, replace: bool = True) -> Iterator[int]:
        """Makes the entries, STEP at a time; says after each step how many it has dealt with.

        An entry that is there already is made anew: it may be an old one, with the windows of
        before the address was elsewhere, and would drop what goes on from where the other was.
        replace: False where what is there is known better than what is to be made.
        """
        waiting = iter(entries)
        while some := list(islice(waiting, STEP)):
            self._insert(some, replace=replace)
            yield len(some)

    def rebind(self, entries: Iterable[Entry]) -> Iterator[int]:
        """The same for entries that are known to be there, bound otherwise."""
        waiting = iter(entries)
        while some := list(islice(waiting, STEP)):
            self._replace(some)
            yield len(some)

    def drop(self, entries: Iterable[Entry]) -> Iterator[int]:
        """Deletes them, STEP at a time: what is left of them begins anew by its next packet."""
        waiting = iter(entries)
        while some := list(islice(waiting, STEP)):
            self._send([deletion(entry, number) for number, entry in enumerate(some)])
            yield len(some)

    def forget(self, egress_ids: Set[int]) -> Iterator[int]:
        """Deletes what came by the tunnel under these ids, STEP at a time, once they have gone; of
        one that is not among them any more, what is left stays.

        Should they come back, an old entry would call invalid what has moved on since, and so break
        flows that nobody tells of, which the kernel would have picked up without it. (One message
        could delete all of an id's, but 50,000 take it 0.15 s or more: addresses lapse meanwhile.)
        """
        for some in self._table.came(egress_ids):
            removals = [removal(body, number) for number, body in enumerate(some)]
            gone = [message for mark, message in removals if mark >> 16 in egress_ids]
            if gone:  # the kernel refuses to be told nothing
                self._send(gone)
            yield len(gone)

    def _insert(self, entries: list[Entry], *, replace: bool) -> None:
        failed = self._send([creation(entry, number) for number, entry in enumerate(entries)])
        there = [entries[number] for number, code in failed.items() if code == errno.EEXIST]
        self.made.created += len(entries) - len(failed)
        self._count(code for code in failed.values() if code != errno.EEXIST)
        if there and replace:
            self._replace(there)
        elif there:
            self.made.kept += len(there)

    def _replace(self, entries: list[Entry]) -> None:
        messages = []
        for number, entry in enumerate(entries):
            messages += [deletion(entry, number * 2), creation(entry, number * 2 + 1)]
        failed = self._send(messages)
        made = len(entries) - sum(number % 2 for number in failed)
        self.made.replaced += made
        self._count(code for number, code in failed.items() if number % 2)

    def _count(self, codes: Iterable[int]) -> None:
        for code in codes:
            if code == errno.EEXIST:
                self.made.taken += 1
            elif code in (errno.ENOMEM, errno.ENOSPC, errno.ENOBUFS):
                self.made.full += 1
            else:
                self.made.refused += 1
                self.made.reason = os.strerror(code)

    def _send(self, messages: list[bytes]) -> dict[int, int]:
        """The error of each message that was refused, by its number. The kernel acts at once."""
        failed: dict[int, int] = {}
        try:
            self._socket.send(b"".join(messages))
            while True:
                try:
                    data = self._socket.recv(_RECEIVE)
                except BlockingIOError:
                    return failed
                at = 0
                while at < len(data):
                    length, kind, _, sequence, _ = HEADER.unpack_from(data, at)
                    if kind == _ERROR:
                        (code,) = struct.unpack_from("=i", data, at + HEADER.size)
                        failed[sequence] = -code
                    at += (length + 3) & ~3
        except OSError as error:
            raise TableRefused(f"make flows: {error}") from error

    def close(self) -> None:
        """Closes its sockets."""
        self._socket.close()
        self._table.close()


def apart(egress_ids: Collection[int]) -> bool:
    """Whether to ask about one id after the other: what is wanted of all of them at once comes with
    what is of other ids.

    A walk takes the longer the more others want one: the kernel lets in one at a time, of all
    network namespaces.
    """
    others = len(egress_ids) - 1
    return others < FEW and tracked_flows(unknown=WALK * FEW) >= WALK * others


def _questions(egress_ids: Collection[int], local: int) -> list[tuple[int, int]]:
    """Marks and masks to list by, such that the kernel's table is not walked too often."""
    if not apart(egress_ids):
        return [(local, LOCAL)]
    return [(id_ << 16 | local, _ID_MASK | LOCAL) for id_ in sorted(egress_ids)]


def _seconds(name: str, default: int) -> int:
    try:
        return int((_SYSCTL / name).read_text())
    except (OSError, ValueError):
        return default
