"""The chains for what comes out of the tunnel, and for what is sent to it from the underlay."""

from collections.abc import Mapping

from outgate.api.view import DataPathSettings, IPAddress
from outgate.rules.model import Chain, Hook
from outgate.rules.words import drop, from_tunnel, protocol

_OF_TUNNEL = "ct mark & 0xffff8000"
"""The egress id of a flow that came by the tunnel; no id's for one of this node's pods (LOCAL)."""


def arriving_chains(
    settings: DataPathSettings, *, own: IPAddress, candidate: bool
) -> Mapping[str, Chain]:
    """On every node; the zones on gateway candidates only. own: its underlay address."""
    chains = {
        "arriving": _arriving(settings, own, candidate=candidate),
        "from_tunnel": _FROM_TUNNEL,
        "new_from_tunnel": _NEW_FROM_TUNNEL,
        "input": _input(settings, own),
        "output": _output(settings, own),
    }
    if candidate:
        chains["zoned"] = _ZONED
    if settings.accept_mark:
        chains["accepted"] = _accepted(settings)
    return chains


def from_chain(index: int) -> Chain:
    """From the node of this index: remembered for the replies."""
    return Chain((f"ct mark set ct mark | {index:#x}",))


def _arriving(settings: DataPathSettings, own: IPAddress, *, candidate: bool) -> Chain:
    # What peers send to the tunnel is not tracked: each flow within is, and one entry more would
    # cost two look-ups on each node. `input` says who is heard.
    ip = protocol(own)
    outer = f"{ip} daddr {own} udp dport {settings.port} {ip} saddr @underlay{own.version}"
    # Before others' raw rules: the mark is an egress id or an index here, not theirs to read.
    inner = "goto zoned" if candidate else f"{_CLEARED} accept"
    return Chain(
        hook=Hook("filter", "prerouting", -305),  # raw - 5
        rules=(f"{from_tunnel(settings)} {inner}", f"{outer} notrack"),
    )


_CLEARED = "meta mark set 0x0"

_ZONED = Chain(
    (
        # A flow whose policy gets another address arrives with another egress id. Each id that
        # this node holds is a zone, so it is another flow here and gets its own binding, at once;
        # the replies' half is in no zone. The zone is the id itself, and tells it from here on.
        "ct original zone set meta mark map @zones",
        _CLEARED,
    )
)


def _accepted(settings: DataPathSettings) -> Chain:
    # After others' raw rules, which may clear it, and before their mangle rules.
    return Chain(
        hook=Hook("filter", "prerouting", -160),  # mangle - 10
        rules=(f"{from_tunnel(settings)} meta mark set {settings.accept_mark:#x}",),
    )


_FROM_TUNNEL = Chain(
    (
        "ct direction reply goto answered",
        f"{_OF_TUNNEL} @held_ids accept",
        "ct state new goto new_from_tunnel",
        drop("invalid"),
    )
)

_NEW_FROM_TUNNEL = Chain(
    (
        "ct mark set ct original zone",
        f"ct mark 0x0 {drop('not_held')}",
        "ct mark set ct mark << 16",
        # IPv4 has this check in its route lookup, IPv6 has not.
        f"fib saddr type local {drop('foreign_tunnel')}",
        "ether saddr vmap @source_node",
        drop("foreign_tunnel"),
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
