"""The chains of our tables, as nft text: the same on every node but for the settings' constants.

What differs from node to node and from minute to minute is in the sets and maps that they name.

Packet by packet, `meta priority` is the scratch register that holds the class: the mark belongs
to others too, and a class left in the conntrack mark would outlive its packet. It is 0 again when
the chain is left, as it is for any packet that arrives.
"""

from collections.abc import Mapping

from outgate.api.view import DataPathSettings
from outgate.rules.model import Chain, Hook

ID = "ct mark & 0xffff0000"
"""A flow's egress id, still in its upper half: 0 for flows that are not ours."""

COUNTERS = frozenset(
    {
        "foreign_tunnel",  # to the tunnel's port, or out of it, from what is no peer
        "invalid",  # conntrack knows no flow for it, so that nothing would translate it
        "leak",  # about to leave with another address than its egress id's
        "no_gateway",  # the egress id has no next hop
        "not_held",  # the egress id has no address here (in this family)
        "stray",  # into the tunnel, but no flow of ours
        "tunnel_address",  # to the tunnel's addresses, from elsewhere
    }
)
"""Why a packet was dropped."""

NODE_COUNTERS = frozenset({"no_node"})
"""The same, in the netdev table: a reply to a node that is not in the mesh."""

PLACEHOLDER_MAC = "02:00:00:00:00:00"
"""The MAC of the replies' next hop: rewritten to the source node's before the tunnel sees it."""

_SYN = "tcp flags & (syn | rst) == syn"


def static_chains(settings: DataPathSettings, *, candidate: bool) -> Mapping[str, Chain]:
    """All chains of `inet outgate` that do not depend on the cluster's nodes."""
    chains = {
        "early": _early(settings),
        "from_tunnel": _FROM_TUNNEL,
        "new_from_tunnel": _NEW_FROM_TUNNEL,
        "prerouting": _prerouting(settings, replies=settings.reply_route and candidate),
        "held": _HELD,
        "classify": _CLASSIFY,
        "untouched": _UNTOUCHED,
        "matched4": _matched(4),
        "matched6": _matched(6),
        "steer": _STEER,
        "here": _here(settings),
        "input": _input(settings),
        "output": _output(settings),
        "source_nat": _source_nat(settings),
        "postrouting": _postrouting(settings),
        "into_tunnel": _INTO_TUNNEL,
        "bound": _BOUND,
        "mss": _mss(settings),
    }
    if candidate:
        chains["zone"] = _zone(settings)
    if settings.reply_route and candidate:
        chains["reply"] = _reply(settings)
        chains["errors"] = _ERRORS
    return chains


def via_chain(mark: int, *, settings: DataPathSettings) -> Chain:
    """Towards the gateway node of this mark: the other bits of the packet mark stay."""
    return Chain((_set_mark(mark, settings=settings),))


def from_chain(index: int) -> Chain:
    """From the node of this index: remembered for the replies."""
    return Chain((f"ct mark set ct mark | {index:#x}",))


def node_chains(settings: DataPathSettings) -> Mapping[str, Chain]:
    """The chains of `netdev outgate`: the replies' node, known by its index, gets its MAC."""
    return {
        "egress": Chain(
            hook=Hook("filter", "egress", 0, settings.device),
            rules=(
                f"ether daddr {PLACEHOLDER_MAC} ether daddr set meta mark map @mac",
                f"ether daddr {PLACEHOLDER_MAC} counter name no_node drop",
            ),
        )
    }


def _set_mark(mark: int, *, settings: DataPathSettings) -> str:
    others = 0xFFFFFFFF & ~settings.mark_mask
    return f"meta mark set meta mark & {others:#010x} | {mark:#x}"


def _zone(settings: DataPathSettings) -> Chain:
    # A flow whose policy gets another address arrives with another egress id. Another id is another
    # zone, so it is another flow here and gets its own binding, at once; the replies' half is in
    # no zone. The seed is fixed: a restart must find the flows where they were.
    zone = "jhash meta mark mod 65535 seed 0x1"
    return Chain(
        hook=Hook("filter", "prerouting", -300),  # raw: before conntrack
        rules=(f'iifname "{settings.device}" ct original zone set {zone}',),
    )


def _early(settings: DataPathSettings) -> Chain:
    # Before everybody else's mangle rules: the mark is an egress id here, not theirs to read.
    return Chain(
        hook=Hook("filter", "prerouting", -160),  # mangle - 10
        rules=(f'iifname "{settings.device}" goto from_tunnel',),
    )


_FROM_TUNNEL = Chain(
    (
        "ct direction reply meta mark set 0x0 accept",
        "meta mark & 0xffff == 0x0 counter name foreign_tunnel drop",
        "ct state new goto new_from_tunnel",
        "meta mark set 0x0",
        "ct direction original accept",
        "counter name invalid drop",
    )
)

_NEW_FROM_TUNNEL = Chain(
    (
        "ct mark set meta mark << 16",
        "meta mark set 0x0",
        "ether saddr vmap @source_node",
        "counter name foreign_tunnel drop",
    )
)


def _prerouting(settings: DataPathSettings, *, replies: bool) -> Chain:
    # A pod must not speak VXLAN to a peer either: masqueraded, it would look like this node.
    foreign = f'iifname != "{settings.underlay_interface}" udp dport {settings.port}'
    rules = [f'iifname "{settings.device}" goto held']
    if settings.tunnel_subnet4:
        rules.append(f"ip daddr {settings.tunnel_subnet4} counter name tunnel_address drop")
    if settings.tunnel_subnet6:
        rules.append(f"ip6 daddr {settings.tunnel_subnet6} counter name tunnel_address drop")
    rules += [
        f"{foreign} ip daddr @underlay4 counter name foreign_tunnel drop",
        f"{foreign} ip6 daddr @underlay6 counter name foreign_tunnel drop",
        f"ct direction reply {'goto reply' if replies else 'accept'}",
        f"{ID} != 0x0 goto steer",
        "ct state invalid,new,untracked goto classify",
    ]
    return Chain(hook=Hook("filter", "prerouting", -90), rules=tuple(rules))  # dstnat + 10


_HELD = Chain(
    (
        "ct direction reply accept",
        # IPv4 has this check in its route lookup, IPv6 has not.
        "fib saddr type local counter name foreign_tunnel drop",
        f"meta nfproto ipv4 {ID} @held4 accept",
        f"meta nfproto ipv6 {ID} @held6 accept",
        "counter name not_held drop",
    )
)


def _reply(settings: DataPathSettings) -> Chain:
    return Chain(
        (
            f"{ID} == 0x0 accept",
            "ct mark & 0xffff == 0x0 accept",
            _set_mark(settings.reply_mark, settings=settings),
        )
    )


# What this node says of a tunnelled flow (too big, time exceeded) has to reach the pod as well.
_ERRORS = Chain(
    hook=Hook("route", "output", -150),  # mangle
    rules=("ct state related ct direction reply goto reply",),
)

# A map without the key ends the rule there: what follows is for pods that have a class.
_CLASSIFY = Chain(
    (
        "meta priority set ip saddr map @class4 goto matched4",
        "meta priority set ip6 saddr map @class6 goto matched6",
    )
)


def _matched(version: int) -> Chain:
    """A new flow of a matched pod: to the outside, and to a matched destination?"""
    ip = "ip" if version == 4 else "ip6"
    link_local = ("169.254.0.0/16", "224.0.0.0/4") if version == 4 else ("fe80::/10", "ff00::/8")
    egress = f"meta priority . {ip} daddr map @egress{version}"
    return Chain(
        (
            f"meta nfproto . {ip} daddr @inside{version} goto untouched",
            *(f"{ip} daddr {network} goto untouched" for network in link_local),
            "fib daddr type { local, broadcast, multicast, anycast } goto untouched",
            # The mark is only a place to put what was found: the packet goes no further.
            f"ct state invalid,untracked meta mark set {egress} counter name invalid drop",
            f"ct mark set {egress}",
            "meta priority set none",
            f"{ID} != 0x0 goto steer",
        )
    )


_UNTOUCHED = Chain(("meta priority set none",))

_STEER = Chain(
    (
        f"{ID} vmap @next_hop",
        "counter name no_gateway drop",
    )
)


def _here(settings: DataPathSettings) -> Chain:
    return Chain(
        (
            f"meta nfproto ipv4 {ID} != @held4 counter name not_held drop",
            f"meta nfproto ipv6 {ID} != @held6 counter name not_held drop",
            _set_mark(0, settings=settings),
        )
    )


def _input(settings: DataPathSettings) -> Chain:
    port = f"udp dport {settings.port}"
    underlay = f'iifname "{settings.underlay_interface}" {port}'
    return Chain(
        hook=Hook("filter", "input", -10),  # filter - 10
        rules=(
            f"{underlay} ip saddr @underlay4 accept",
            f"{underlay} ip6 saddr @underlay6 accept",
            f"{port} counter name foreign_tunnel drop",
        ),
    )


def _output(settings: DataPathSettings) -> Chain:
    # The outer packet inherits the mark, here an egress id, which others would take for theirs.
    port = f"udp dport {settings.port}"
    return Chain(
        hook=Hook("filter", "output", -300),  # raw
        rules=(
            f"{port} ip daddr @underlay4 meta mark set 0x0",
            f"{port} ip6 daddr @underlay6 meta mark set 0x0",
        ),
    )


def _source_nat(settings: DataPathSettings) -> Chain:
    # Into the tunnel a flow is bound to its own address: later masquerade rules find it bound.
    tunnel = f'oifname "{settings.device}"'
    return Chain(
        hook=Hook("nat", "postrouting", 99),  # srcnat - 1
        rules=(
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
            f'oifname "{settings.device}" goto into_tunnel',
            f"{ID} != 0x0 ct direction original goto bound",
            f"{ID} != 0x0 {_SYN} goto mss",
        ),
    )


_INTO_TUNNEL = Chain(
    (
        f"{ID} == 0x0 counter name stray drop",
        f"{_SYN} jump mss",
        "ct direction original meta mark set ct mark >> 16 accept",
        "ct direction reply meta mark set ct mark & 0xffff accept",
        "counter name stray drop",
    )
)

_BOUND = Chain(
    (
        f"{_SYN} jump mss",
        f"{ID} . ip saddr @bound4 accept",
        f"{ID} . ip6 saddr @bound6 accept",
        "counter name leak drop",
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
