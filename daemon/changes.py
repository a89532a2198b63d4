"""Whether the kernel's links, addresses, routes, … changed since one last asked: rtnetlink's news.

A socket that nobody waits on: it is drained when one asks, so that a host on which nothing happens
costs one system call a look. Reads no state and writes nothing.
"""

import enum
import errno
import socket
import struct
from collections.abc import Callable, Iterable

_HEADER = struct.Struct("=IHHII")
_SOL_NETLINK = 270
_ADD_MEMBERSHIP = 1
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; needs CAP_NET_ADMIN
_BUFFER = 1 << 20
_DATAGRAM = 1 << 16


class Group(enum.IntEnum):
    """What one may be told about: linux/rtnetlink.h, RTNLGRP_*."""

    LINK = 1
    NEIGHBOUR = 3
    ADDRESS4 = 5
    ROUTE4 = 7
    RULE4 = 8
    ADDRESS6 = 9
    ROUTE6 = 11
    RULE6 = 19
    SETTING4 = 24


class Changes:
    """News of these groups, of the network namespace of the thread that makes it."""

    def __init__(self, groups: Iterable[Group]) -> None:
        """Listens from now on. Raises OSError."""
        self._socket = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            socket.NETLINK_ROUTE,
        )
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._socket.bind((0, 0))
        for group in groups:
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

    def any(self, relevant: Callable[[int, bytes], bool]) -> bool:
        """Whether one of the messages since the last look is relevant, or some were lost.

        relevant: asked about each message's type and payload.
        """
        found = False
        while True:
            try:
                data = self._socket.recv(_DATAGRAM)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                found = True  # too many for the buffer: who knows what they said
                continue
            found = _any(data, relevant) or found

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()


def _any(data: bytes, relevant: Callable[[int, bytes], bool]) -> bool:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if relevant(kind, data[at + _HEADER.size : at + length]):
            return True
        at += (length + 3) & ~3
    return False
