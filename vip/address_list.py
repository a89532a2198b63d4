"""All addresses of this network namespace, read from rtnetlink's dump without pyroute2.

pyroute2 takes half a millisecond and more for each, and a gateway node may have a thousand: reading
them would outlast the lease that the kernel holds them by.
"""

import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import NamedTuple

from outgate.api.view import IPAddress
from outgate.daemon.netlink import ROUTE, Netlink, attributes

# linux/rtnetlink.h, if_addr.h
_GETADDR = 22
_ADDRESS, _LOCAL, _PROTO = 1, 2, 11
_IFADDRMSG = struct.Struct("=BBBBI")


class Listed(NamedTuple):
    """One address: its link, by index, its prefix length, who made it (IFA_PROTO; 0: not said)."""

    address: IPAddress
    link: int
    length: int
    protocol: int


def listed() -> Iterator[Listed]:
    """Each address of either family. Raises OSError."""
    with Netlink(ROUTE) as netlink:
        for body in netlink.dump(_GETADDR, _IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
            _, length, _, _, index = _IFADDRMSG.unpack_from(body)
            found = dict(attributes(body[_IFADDRMSG.size :]))
            # With a peer, IFA_ADDRESS is the far end: IFA_LOCAL is ours then.
            packed = found.get(_LOCAL) or found.get(_ADDRESS)
            if packed is not None:
                protocol = found.get(_PROTO, b"\0")[0]
                yield Listed(ip_address(packed), index, length, protocol)
