"""What a flow is in the kernel's table, on its source node and at its gateway: pure.

`record_of` turns the source node's own entry into what the new holder is told, `derive` that into
the new holder's entry. A gateway node's own pods have one entry only, which is bound to the address
while their node holds it, and to their own when it is elsewhere: `bound_here`, `bound_elsewhere`.
"""

from dataclasses import dataclass

import msgspec

from outgate.api.view import IPAddress
from outgate.vip.flows.records import ICMP, TCP, UDP, FlowRecord
from outgate.vip.flows.zone import zone

LOCAL = 0x8000
"""In the lower half of a flow's mark: it began at a pod of this node (rules/words.py)."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the kernel keeps an entry without packets, in seconds.

    The defaults are Linux' own; a node's are in /proc/sys/net/netfilter/nf_conntrack_*_timeout*.
    """

    tcp: int = 432_000
    udp: int = 30
    udp_stream: int = 120
    icmp: int = 30
    icmpv6: int = 30

    def of(self, protocol: int, *, assured: bool) -> int:
        """For an entry that has seen packets both ways."""
        if protocol == TCP:
            return self.tcp
        if protocol == UDP:
            return self.udp_stream if assured else self.udp
        return self.icmp if protocol == ICMP else self.icmpv6


class Seen(msgspec.Struct, frozen=True, gc=False):
    """An entry as the kernel lists it; addresses packed, `to` is 0 for echo requests.

    source, destination, from_, to: of the flow's first packet, as it was sent. reply_source,
    reply_to, reply_from: what answers it really (after destination NAT). bound, port: what that
    one sees as the source. live: there have been packets both ways, and of TCP it is established.
    """

    protocol: int
    source: bytes
    destination: bytes
    from_: int
    to: int
    reply_source: bytes
    reply_to: int
    bound: bytes
    port: int
    mark: int
    live: bool
    assured: bool


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An entry to be made: of a flow that has been seen both ways.

    source, destination, from_, to: of its packets as they come in. bound, port: what source NAT
    makes of their source, the same for the identity binding. really, really_to: where destination
    NAT sends them. zone: of the original direction; None: in none. timeout: seconds.
    """

    protocol: int
    source: bytes
    destination: bytes
    from_: int
    to: int
    bound: bytes
    port: int
    really: bytes
    really_to: int
    zone: int | None
    mark: int
    assured: bool
    timeout: int


def record_of(seen: Seen, *, index: int) -> FlowRecord | None:
    """What the holder of its egress id is told of a flow of this node's pods.

    None: not ours, or not worth it. A connection that is being set up or closed ends by itself, and
    what has had no answer yet, nobody sends anything to.
    """
    if not (seen.mark & LOCAL and seen.mark >> 16 and seen.live):
        return None
    if len(seen.source) != len(seen.bound):
        return None
    # Behind destination NAT. In the tunnel it has its pod's own address and port, unless that port
    # was taken: then the reply has it. Bound to an address (held here), the reply has the address'.
    elsewhere = seen.bound == seen.source
    return FlowRecord(
        protocol=seen.protocol,
        egress_id=seen.mark >> 16,
        index=index,
        pod=seen.source,
        destination=seen.reply_source,
        from_=seen.port if elsewhere else seen.from_,
        to=seen.reply_to,
        port=seen.port,
        assured=seen.assured,
    )


def derive(record: FlowRecord, address: IPAddress, timeouts: Timeouts) -> Entry:
    """The entry that the flow has at the node that holds its address."""
    return Entry(
        protocol=record.protocol,
        source=record.pod,
        destination=record.destination,
        from_=record.from_,
        to=record.to,
        bound=address.packed,
        port=record.port,
        really=record.destination,
        really_to=record.to,
        zone=zone(record.egress_id),
        mark=record.egress_id << 16 | record.index,
        assured=record.assured,
        timeout=timeouts.of(record.protocol, assured=record.assured),
    )


def bound_here(
    seen: Seen, address: IPAddress, timeouts: Timeouts, *, port: int | None = None
) -> Entry:
    """An own pod's flow from when its address comes to this node: it no longer takes the tunnel.

    port: what the last holder's source NAT had made of it, if that is known to differ.
    """
    return _rebound(seen, address.packed, seen.port if port is None else port, timeouts)


def bound_elsewhere(seen: Seen, timeouts: Timeouts) -> Entry:
    """An own pod's flow from when its address is no longer here: through the tunnel, as it is."""
    return _rebound(seen, seen.source, seen.from_, timeouts)


def _rebound(seen: Seen, bound: bytes, port: int, timeouts: Timeouts) -> Entry:
    return Entry(
        protocol=seen.protocol,
        source=seen.source,
        destination=seen.destination,
        from_=seen.from_,
        to=seen.to,
        bound=bound,
        port=port,
        really=seen.reply_source,
        really_to=seen.reply_to,
        zone=None,
        mark=seen.mark,
        assured=seen.assured,
        timeout=timeouts.of(seen.protocol, assured=seen.assured),
    )
