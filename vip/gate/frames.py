"""The frames by which a lease is refreshed: what they say, as bytes, and how rules read it. Pure.

They leave by a packet socket on the loopback link and come in again there, each to the hook that
its protocol has: an ARP packet to the table that gates ARP, an IP packet to the other. A rule
writes the lease, as it could for any packet, so nothing is a transaction of nf_tables; see
`outgate.vip.gate.rules`, which drops them all.

A frame's mark says of which gateway the lease is. Its two addresses aren't any: the source is the
fuse's number, the target the lease's new length in milliseconds, or 0: light the fuse.
"""

import struct
import sys
from bisect import bisect_right
from itertools import chain

from outgate.vip.gate.model import Family

PROTOCOL = 253  # RFC 3692: for experiments; no socket but a raw one sends it
MARK = 0x6F670000
"""With the gateway's number below."""
MARK_MASK = 0xFFFF0000

SPANS = tuple(
    chain(
        range(10, 300, 5),
        range(300, 1000, 50),
        range(1000, 3000, 100),
        range(3000, 15_000, 500),
        range(15_000, 65_000, 5000),
    )
)
"""Milliseconds that a lease may be refreshed for: a rule's timeouts are constants."""

FUSE = 10
"""Milliseconds that may pass between reading the clock and the lease; see `plan.lease`."""

_ETH_ARP, _ETH_IP = 0x0806, 0x0800  # linux/if_ether.h
_ARP = struct.Struct("!12xH HHBBH 6x4s 6x4s")  # RFC 826
_IP = struct.Struct("!BBHHHBBH4s4s")  # RFC 791
_ETHERNET = struct.Struct("!12xH")


def span(timeout: int) -> int:
    """The longest span that is not longer; 0: there is none."""
    at = bisect_right(SPANS, timeout)
    return SPANS[at - 1] if at else 0


def mark(number: int) -> int:
    """The mark of a gateway's frames."""
    return MARK | number


def lease_key(number: int) -> bytes:
    """The key of a gateway's lease: the mark as the kernel has it."""
    return mark(number).to_bytes(4, sys.byteorder)


def fuse_key(fuse: int) -> bytes:
    """The key of a fuse, as in a packet."""
    return (fuse & 0xFFFFFFFF).to_bytes(4, "big")


def frame(family: Family, *, fuse: int, span: int = 0) -> bytes:
    """For the table of this family: lights the fuse, or, by its light, refreshes the lease."""
    source, target = fuse_key(fuse), span.to_bytes(4, "big")
    match family:
        case Family.ARP:
            return _ARP.pack(_ETH_ARP, 1, _ETH_IP, 6, 4, 1, source, target)
        case Family.INET:
            head = _IP.pack(0x45, 0, _IP.size, 0, 0, 1, PROTOCOL, 0, source, target)
            packet = head[:10] + _checksum(head) + head[12:]
            return _ETHERNET.pack(_ETH_IP) + packet


def _checksum(head: bytes) -> bytes:
    total: int = sum(struct.unpack("!10H", head))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return (total ^ 0xFFFF).to_bytes(2, "big")
