"""A connection as its source node tells it to the new holder of its address, and as bytes: pure.

    flags 1 | egress id 2 | index 2 | pod 4 or 16 | destination 4 or 16 | from 2 | to 2 | [port 2]

17 bytes for IPv4, 41 for IPv6; two more where the outside sees another port. Big-endian. flags:
bits 0-1 the protocol, bit 2 IPv6, bit 3 assured, bit 4 the port follows.
"""

import struct
from collections.abc import Iterable, Iterator

import msgspec

from outgate.vip.flows.errors import NotOurs

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58  # IANA protocol numbers

_PROTOCOLS = {4: (TCP, UDP, ICMP), 6: (TCP, UDP, ICMPV6)}
_CODES = {TCP: 0, UDP: 1, ICMP: 2, ICMPV6: 2}
_SIX, _ASSURED, _REMAPPED = 0x04, 0x08, 0x10
_FOUR_BYTES = struct.Struct("!BHH4s4sHH")
_SIX_BYTES = struct.Struct("!BHH16s16sHH")
_PORT = struct.Struct("!H")


class FlowRecord(msgspec.Struct, frozen=True, gc=False):
    """One flow of a pod through the gateway, as the tunnel carries it.

    index: of the pod's node. pod, destination: packed addresses, since there may be 50,000 of them
    to work through within a second; of one family. from_, to: the ports; of an echo request its
    identifier, and 0. port: what the outside sees instead of `from_`. assured: the kernel's word
    for traffic both ways that has lasted; always so for TCP, of which only established connections
    are told.
    """

    protocol: int
    egress_id: int
    index: int
    pod: bytes
    destination: bytes
    from_: int
    to: int
    port: int
    assured: bool = True

    @property
    def remapped(self) -> bool:
        """Whether source NAT had to change the port, so that the new holder can't derive it."""
        return self.port != self.from_

    @property
    def key(self) -> "FlowKey":
        """What stays the same whatever the holder does with it."""
        return (
            self.protocol,
            self.egress_id,
            self.pod,
            self.destination,
            self.from_,
            self.to,
        )


FlowKey = tuple[int, int, bytes, bytes, int, int]
"""protocol, egress id, pod, destination, from, to: names a flow at any gateway node."""


def encode(records: Iterable[FlowRecord]) -> bytes:
    """The records, one behind the other."""
    parts = []
    for record in records:
        six = len(record.pod) == 16
        remapped = record.port != record.from_
        flags = (
            _CODES[record.protocol]
            | (_SIX if six else 0)
            | (_ASSURED if record.assured else 0)
            | (_REMAPPED if remapped else 0)
        )
        parts.append(
            (_SIX_BYTES if six else _FOUR_BYTES).pack(
                flags,
                record.egress_id,
                record.index,
                record.pod,
                record.destination,
                record.from_,
                record.to,
            )
        )
        if remapped:
            parts.append(_PORT.pack(record.port))
    return b"".join(parts)


def decode(data: bytes) -> Iterator[FlowRecord]:
    """The records in the bytes. Raises NotOurs where they make no sense."""
    at = 0
    try:
        while at < len(data):
            flags = data[at]
            layout = _SIX_BYTES if flags & _SIX else _FOUR_BYTES
            _, egress_id, index, pod, destination, from_, to = layout.unpack_from(data, at)
            at += layout.size
            port = from_
            if flags & _REMAPPED:
                (port,) = _PORT.unpack_from(data, at)
                at += _PORT.size
            yield FlowRecord(
                _PROTOCOLS[6 if flags & _SIX else 4][flags & 0x03],
                egress_id,
                index,
                pod,
                destination,
                from_,
                to,
                port,
                bool(flags & _ASSURED),
            )
    except (struct.error, IndexError) as error:
        raise NotOurs(f"flows, at byte {at}: {error}") from error
