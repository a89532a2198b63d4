"""The chains for what comes out of the tunnel, and for what is sent to it from the underlay."""

from collections.abc import Mapping

from outgate.api.view import DataPathSettings, IPAddress
from outgate.rules.model import Chain, Hook
from outgate.rules.words import ID, drop, from_tunnel, protocol


def arriving_chains(
    settings: DataPathSettings, *, own: IPAddress, candidate: bool
) -> Mapping[str, Chain]:
    """On every node. own: its underlay address."""
    return {
        "raw": _raw(settings, own, candidate=candidate),
        "early": _early(settings),
        "from_tunnel": _from_tunnel(settings),
        "new_from_tunnel": _new_from_tunnel(settings),
        "held": _HELD,
        "input": _input(settings, own),
        "output": _output(settings, own),
    }


def from_chain(index: int) -> Chain:
    """From the node of this index: remembered for the replies."""
    return Chain((f"ct mark set ct mark | {index:#x}",))


def _raw(settings: DataPathSettings, own: IPAddress, *, candidate: bool) -> Chain:
    # What peers send to the tunnel is not tracked: each flow within is, and one entry more would
    # cost two look-ups on each node. `input` says who is heard.
    ip = protocol(own)
    peers = f"{ip} saddr @underlay{own.version}"
    outer = f"{ip} daddr {own} udp dport {settings.port} {peers} notrack"
    return Chain(
        hook=Hook("filter", "prerouting", -300),  # raw: before conntrack
        rules=(*((_zone(settings),) if candidate else ()), outer),
    )


def _zone(settings: DataPathSettings) -> str:
    # A flow whose policy gets another address arrives with another egress id. Another id is another
    # zone, so it is another flow here and gets its own binding, at once; the replies' half is in
    # no zone. The seed is fixed: a restart must find the flows where they were.
    zone = "jhash meta mark mod 65535 seed 0x1"
    return f"{from_tunnel(settings)} ct original zone set {zone} accept"


def _early(settings: DataPathSettings) -> Chain:
    # Before everybody else's mangle rules: the mark is an egress id here, not theirs to read.
    return Chain(
        hook=Hook("filter", "prerouting", -160),  # mangle - 10
        rules=(f"{from_tunnel(settings)} goto from_tunnel",),
    )


def _from_tunnel(settings: DataPathSettings) -> Chain:
    return Chain(
        (
            f"ct direction reply {_cleared(settings)} accept",
            f"meta mark & 0xffff == 0x0 {drop('foreign_tunnel')}",
            "ct state new goto new_from_tunnel",
            _cleared(settings),
            "ct direction original accept",
            drop("invalid"),
        )
    )


def _new_from_tunnel(settings: DataPathSettings) -> Chain:
    return Chain(
        (
            "ct mark set meta mark << 16",
            _cleared(settings),
            # IPv4 has this check in its route lookup, IPv6 has not.
            f"fib saddr type local {drop('foreign_tunnel')}",
            "ether saddr vmap @source_node",
            drop("foreign_tunnel"),
        )
    )


def _cleared(settings: DataPathSettings) -> str:
    return f"meta mark set {settings.accept_mark:#x}"


_HELD = Chain(
    (
        "ct direction reply goto answered",
        f"meta nfproto ipv4 {ID} @held4 accept",
        f"meta nfproto ipv6 {ID} @held6 accept",
        drop("not_held"),
    )
)


def _input(settings: DataPathSettings, own: IPAddress) -> Chain:
    port = f"udp dport {settings.port}"
    peers = f"{protocol(own)} saddr @underlay{own.version}"
    return Chain(
        hook=Hook("filter", "input", -10),  # filter - 10
        rules=(
            f'iifname "{settings.underlay_interface}" {port} {peers} accept',
            f"{port} {drop('foreign_tunnel')}",
        ),
    )


def _output(settings: DataPathSettings, own: IPAddress) -> Chain:
    # The outer packet inherits the mark, here an egress id, which others would take for theirs.
    peers = f"{protocol(own)} daddr @underlay{own.version}"
    return Chain(
        hook=Hook("filter", "output", -300),  # raw
        rules=(f"udp dport {settings.port} {peers} meta mark set 0x0 notrack",),
    )
