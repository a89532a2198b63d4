"""Dumps of the kernel's tables by netlink: the bare bytes of each message, and their attributes.

For what can be long: pyroute2 takes up to 0.7 ms for each message that it decodes, and a node may
have 20,000 routes or rules of which hardly one is of interest. Reads only.
"""

import os
import socket
import struct
from collections.abc import Iterator

from outgate.daemon.closing import Closing

ROUTE = socket.NETLINK_ROUTE
NETFILTER = 12  # linux/netlink.h

# linux/netlink.h
_REQUEST, _DUMP = 0x1, 0x300
_ERROR, _DONE = 2, 3
_TYPE_MASK = 0x3FFF
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")

_RECEIVE = 1 << 17  # bytes: the kernel fills 32 KiB at a time
_TIMEOUT = 10.0  # seconds that the kernel may take to answer


class Netlink(Closing):
    """A socket in the network namespace of the thread that makes it. Raises OSError."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        self._socket.settimeout(_TIMEOUT)

    def dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """What each message of the answer carries, behind its netlink header."""
        length = _HEADER.size + len(body)
        self._socket.send(_HEADER.pack(length, kind, _REQUEST | _DUMP, 1, 0) + body)
        while True:
            data = self._socket.recv(_RECEIVE)
            at = 0
            while at + _HEADER.size <= len(data):
                length, kind, _, _, _ = _HEADER.unpack_from(data, at)
                payload = data[at + _HEADER.size : at + length]
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    (code,) = struct.unpack_from("=i", payload)
                    raise OSError(-code, os.strerror(-code))
                yield payload
                at += _aligned(length)

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each attribute, in their order; cut short, it ends there."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)


def attribute(kind: int, value: bytes) -> bytes:
    """The attribute, padded."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(_aligned(length) - length)


def text(value: bytes) -> str:
    """A C string."""
    return value.partition(b"\0")[0].decode("ascii", "replace")


def _aligned(length: int) -> int:
    return (length + 3) & ~3
