"""The chains behind routing: the address a flow gets, what goes into the tunnel, the last check."""

from collections.abc import Mapping

from outgate.api.view import DataPathSettings
from outgate.rules.model import Chain, Hook
from outgate.rules.words import ID, SYN, drop, into_tunnel

PLACEHOLDER_MAC = "02:00:00:00:00:00"
"""The MAC of the replies' next hop: rewritten to the source node's before the tunnel sees it."""


def leaving_chains(settings: DataPathSettings) -> Mapping[str, Chain]:
    """The same on every node."""
    return {
        "source_nat": _source_nat(settings),
        "postrouting": _postrouting(settings),
        "into_tunnel": _INTO_TUNNEL,
        "bound": _BOUND,
        "returning": Chain((f"{SYN} jump mss",)),
        "begun": _BEGUN,
        "unbound": _UNBOUND,
        "mss": _mss(settings),
    }


def errors_chain() -> Chain:
    """What this node says of a tunnelled flow (too big, time exceeded) reaches the pod as well."""
    return Chain(
        hook=Hook("route", "output", -150),  # mangle
        rules=("ct state related ct direction reply goto reply",),
    )


def node_chains(settings: DataPathSettings) -> Mapping[str, Chain]:
    """The chains of `netdev outgate`: the replies' node, known by its index, gets its MAC."""
    return {
        "egress": Chain(
            hook=Hook("filter", "egress", 0, settings.device),
            rules=(
                f"ether daddr {PLACEHOLDER_MAC} ether daddr set meta mark map @mac",
                f"ether daddr {PLACEHOLDER_MAC} {drop('no_node')}",
            ),
        )
    }


def _source_nat(settings: DataPathSettings) -> Chain:
    # Into the tunnel a flow is bound to its own address: later masquerade rules find it bound.
    tunnel = into_tunnel(settings)
    return Chain(
        hook=Hook("nat", "postrouting", 99),  # srcnat - 1
        rules=(
            f"{ID} == 0x0 accept",
            f"{tunnel} snat ip to ip saddr",
            f"{tunnel} snat ip6 to ip6 saddr",
            f"snat ip to {ID} map @address4",
            f"snat ip6 to {ID} map @address6",
        ),
    )


def _postrouting(settings: DataPathSettings) -> Chain:
    # After all NAT. A flow of ours leaves by the tunnel or with its id's address, or not at all.
    return Chain(
        hook=Hook("filter", "postrouting", 300),
        rules=(
            f"{into_tunnel(settings)} goto into_tunnel",
            f"{ID} != 0x0 goto bound",
        ),
    )


_INTO_TUNNEL = Chain(
    (
        f"{ID} == 0x0 {drop('stray')}",
        f"{SYN} jump mss",
        "ct direction original meta mark set ct mark >> 16 accept",
        "ct direction reply meta mark set ct mark & 0xffff accept",
        drop("stray"),
    )
)

_BOUND = Chain(
    (
        "ct direction reply goto returning",
        "ct state new jump begun",
        # An egress id has one address for as long as it exists, so that what began with the right
        # one still has it: unless the id has come to this node since, or gone from it.
        "ip saddr @source4 accept",
        "ip6 saddr @source6 accept",
        "goto unbound",
    )
)

_BEGUN = Chain(
    (
        f"{SYN} jump mss",
        f"{ID} . ip saddr != @bound4 goto unbound",
        f"{ID} . ip6 saddr != @bound6 goto unbound",
    )
)

_UNBOUND = Chain(
    (
        f"{ID} != @held_ids {drop('leak')}",
        f"meta nfproto ipv4 {ID} != @held4 {drop('not_held')}",
        f"meta nfproto ipv6 {ID} != @held6 {drop('not_held')}",
        drop("leak"),
    )
)


def _mss(settings: DataPathSettings) -> Chain:
    # The kernel only ever lowers it. Flows that stay on this node get it too: they survive the
    # move of their address to another node.
    return Chain(
        (
            f"meta nfproto ipv4 tcp option maxseg size set {settings.mtu - 40}",
            f"meta nfproto ipv6 tcp option maxseg size set {settings.mtu - 60}",
        )
    )
