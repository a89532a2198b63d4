"""Many addresses put on links, or taken off, in one go: rtnetlink's messages as bytes.

pyroute2 takes 0.5 to 1.5 ms of CPU for each message, this 0.01: 1,000 addresses of a node that has
died have to be here before the outage is noticed.
"""

import socket
import struct
from collections.abc import Sequence

from outgate.api.view import IPAddress
from outgate.daemon.netlink import attribute
from outgate.vip.model import ADDRESS_PROTOCOL

IFA_F_NODAD = 0x02  # linux/if_addr.h: ours by decision, not by asking the segment for a second
IFA_F_NOPREFIXROUTE = 0x200  # no route of ours besides the address

# linux/rtnetlink.h, if_addr.h, netlink.h
_NEWADDR, _DELADDR = 20, 21
_REQUEST, _ACK, _CREATE, _EXCL = 0x1, 0x4, 0x400, 0x200
_ADDRESS, _LOCAL, _CACHEINFO, _FLAGS, _PROTO = 1, 2, 6, 8, 11
_HEADER = struct.Struct("=IHHII")
_IFADDRMSG = struct.Struct("=BBBBI")
_ERROR = 2
_FOREVER = 0xFFFFFFFF

_SOL_NETLINK, _CAP_ACK = 270, 10
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h; need CAP_NET_ADMIN
_BUFFER = 8 << 20  # bytes
_AT_ONCE = 1000
"""Messages in one send: their answers have to fit into the buffer."""


class AddressBatch:
    """A socket in the network namespace of the thread that makes it. Raises OSError."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)

    def add(self, wanted: Sequence[tuple[IPAddress, int]]) -> Sequence[int]:
        """For each address and link's index: 0, or the errno (EEXIST: it is there already)."""
        return self._each(_NEWADDR, _CREATE | _EXCL, [new(a, i) for a, i in wanted])

    def remove(self, unwanted: Sequence[tuple[IPAddress, int]]) -> Sequence[int]:
        """For each address and link's index: 0, or the errno (EADDRNOTAVAIL: it isn't there)."""
        return self._each(_DELADDR, 0, [old(a, i) for a, i in unwanted])

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()

    def _each(self, kind: int, flags: int, bodies: Sequence[bytes]) -> list[int]:
        codes: list[int] = []
        for start in range(0, len(bodies), _AT_ONCE):
            codes += self._send(kind, flags, bodies[start : start + _AT_ONCE])
        return codes

    def _send(self, kind: int, flags: int, bodies: Sequence[bytes]) -> list[int]:
        self._socket.send(
            b"".join(
                _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | _ACK | flags, number, 0)
                + body
                for number, body in enumerate(bodies)
            )
        )
        # The kernel has done all of it, and answered, when `send` returns.
        codes: list[int | None] = [None] * len(bodies)
        while None in codes:
            data = self._socket.recv(1 << 16, socket.MSG_DONTWAIT)
            at = 0
            while at + _HEADER.size <= len(data):
                length, answer, _, number, _ = _HEADER.unpack_from(data, at)
                if answer == _ERROR and number < len(codes):
                    (code,) = struct.unpack_from("=i", data, at + _HEADER.size)
                    codes[number] = -code
                at += (length + 3) & ~3
        return [code or 0 for code in codes]


def new(address: IPAddress, index: int) -> bytes:
    """A request to put the address on the link, as a whole prefix of its own.

    Deprecated from the start (preferred lifetime 0), so that the node never takes it as the source
    of a connection of its own.
    """
    flags = 0 if address.version == 4 else IFA_F_NODAD | IFA_F_NOPREFIXROUTE
    return (
        old(address, index)
        + attribute(_FLAGS, struct.pack("=I", flags))
        + attribute(_CACHEINFO, struct.pack("=IIII", 0, _FOREVER, 0, 0))
        + attribute(_PROTO, bytes((ADDRESS_PROTOCOL,)))
    )


def old(address: IPAddress, index: int) -> bytes:
    """A request to take the address off the link."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return (
        _IFADDRMSG.pack(family, address.max_prefixlen, 0, 0, index)
        + attribute(_LOCAL, address.packed)
        + attribute(_ADDRESS, address.packed)
    )
