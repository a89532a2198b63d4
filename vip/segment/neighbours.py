"""The MAC of a host on a link, as the kernel's neighbour table has it; one netlink socket a look.

Without pyroute2, which takes 20 MB. Never writes a MAC: where none is known, the kernel is told to
find out, by its own question and with the node's own address.
"""

import contextlib
import errno
import socket
import struct
import threading
from collections.abc import Iterable
from typing import NamedTuple

from outgate.api.view import IPAddress

# linux/netlink.h, linux/rtnetlink.h, linux/neighbour.h
_NLMSG_ERROR = 2
_RTM_NEWNEIGH, _RTM_DELNEIGH, _RTM_GETNEIGH = 28, 29, 30
_REQUEST, _ACK, _CREATE = 0x1, 0x4, 0x400
_NDA_DST, _NDA_LLADDR = 1, 2
_NTF_USE = 0x01
_INCOMPLETE, _FAILED, _NONE = 0x01, 0x20, 0x00
_HEADER = struct.Struct("=IHHII")
_NDMSG = struct.Struct("=BxxxiHBB")
_PATIENCE = 1.0  # seconds; the kernel answers in the same system call


class _Entry(NamedTuple):
    """state: of linux/neighbour.h; `_NONE` where there is no entry."""

    state: int
    mac: bytes | None = None


def mac_of(address: IPAddress, *, interface: str) -> bytes | None:
    """The MAC of a neighbour; None if it is not known, and then the kernel begins to ask for it.

    Raises OSError if there is no such link.
    """
    index = socket.if_nametoindex(interface)
    with _routes() as netlink:
        mac = _look(netlink, address, index).mac
        if mac is None:
            _use(netlink, address, index)
        return mac


def ask_again(address: IPAddress, *, interface: str) -> None:
    """Makes the kernel ask for a neighbour now, if it has asked and nobody has answered.

    By itself it asks once a second (`retrans_time`; RFC 1122 §2.3.2.1 recommends no more), and
    what is sent meanwhile waits: also of a host that is back since a moment. So not for ever.
    Raises OSError if there is no such link.
    """
    index = socket.if_nametoindex(interface)
    with _routes() as netlink:
        if _look(netlink, address, index).state in (_INCOMPLETE, _FAILED):
            _tell(netlink, _message(_RTM_DELNEIGH, _REQUEST | _ACK, address, index))
            _use(netlink, address, index)


class Seeker:
    """Asks again beside its caller, once at a time: the kernel changes a neighbour under the lock
    that the links' own changes take, and others may hold it for tenths of a second.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def seek(self, addresses: Iterable[IPAddress], *, interface: str) -> None:
        """Begins; what the kernel refuses, or has no link for, it asks for when it does."""
        if self._thread is None or not self._thread.is_alive():
            asked = tuple(addresses), interface
            self._thread = threading.Thread(target=_ask_all, args=asked, name="seek", daemon=True)
            self._thread.start()


def _ask_all(addresses: Iterable[IPAddress], interface: str) -> None:
    for address in addresses:
        with contextlib.suppress(OSError):
            ask_again(address, interface=interface)


def _routes() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    made.settimeout(_PATIENCE)
    return made


def _look(netlink: socket.socket, address: IPAddress, index: int) -> _Entry:
    netlink.sendall(_message(_RTM_GETNEIGH, _REQUEST, address, index))  # Linux 5.0
    return _entry(netlink.recv(1 << 13))


def _use(netlink: socket.socket, address: IPAddress, index: int) -> None:
    """Has the kernel ask, as if there were a packet to be sent."""
    flags = _REQUEST | _ACK | _CREATE
    _tell(netlink, _message(_RTM_NEWNEIGH, flags, address, index, _NTF_USE))


def _tell(netlink: socket.socket, message: bytes) -> None:
    # Not allowed to, or no room in the table: then it stays as it was.
    with contextlib.suppress(OSError):
        netlink.sendall(message)
        netlink.recv(1 << 13)


def _message(kind: int, flags: int, address: IPAddress, index: int, use: int = 0) -> bytes:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    packed = address.packed
    body = _NDMSG.pack(family, index, 0, use, 0)
    body += struct.pack("=HH", 4 + len(packed), _NDA_DST) + packed
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body


def _entry(answer: bytes) -> _Entry:
    length, kind, _, _, _ = _HEADER.unpack_from(answer)
    if kind == _NLMSG_ERROR:
        (code,) = struct.unpack_from("=i", answer, _HEADER.size)
        if -code not in (errno.ENOENT, 0):
            raise OSError(-code, "look up a neighbour")
        return _Entry(_NONE)
    _, _, state, _, _ = _NDMSG.unpack_from(answer, _HEADER.size)
    if state in (_NONE, _INCOMPLETE, _FAILED):
        return _Entry(state)
    at = _HEADER.size + _NDMSG.size
    while at + 4 <= length:
        size, attribute = struct.unpack_from("=HH", answer, at)
        if attribute == _NDA_LLADDR and size == 10:
            return _Entry(state, answer[at + 4 : at + 10])
        at += (max(size, 4) + 3) & ~3
    return _Entry(state)
