"""The chains of a pod's node: which egress id a new flow gets, and where every packet of it goes.

The rules that most packets meet come first, and each map that ends the matter at once: what a
packet costs is the number of rules that it walks through.
"""

from collections.abc import Mapping

from outgate.api.view import DataPathSettings, IPAddress
from outgate.rules.model import Chain, Hook
from outgate.rules.resolve import Version
from outgate.rules.words import ID, LOCAL, NUMBER, counted, drop, from_tunnel, protocol, set_mark


def source_chains(
    settings: DataPathSettings, *, own: IPAddress, candidate: bool, named: Mapping[str, str]
) -> Mapping[str, Chain]:
    """Those that are the same for all pods; see `outgate.rules.chains.static_chains`."""
    return {
        "prerouting": _prerouting(settings),
        "unmarked": _unmarked(settings, own, named),
        "outside4": _outside(4, named["inside4"]),
        "outside6": _outside(6, named["inside6"]),
        "untouched": _untouched(settings, own),
        "begin": _begin(settings),
        "claimed": _claimed(settings),
        "lost": _lost(settings),
        "here": _towards(0, settings=settings),
        "reply": _reply(settings, candidate=candidate),
        "answered": _answered(settings),
    }


def via_chain(mark: int, *, settings: DataPathSettings) -> Chain:
    """Towards the gateway node of this mark."""
    return _towards(mark, settings=settings)


def class_chain(version: Version, *, single: str, spans: str) -> Chain:
    """A new flow of a pod of one class; its two maps, or "" for one that it does not need."""
    ip = "ip" if version == 4 else "ip6"
    rules = [f"jump outside{version}"]
    if single:
        rules.append(f"ct mark set {ip} daddr map @{single} goto begin")
    if spans:
        rules.append(f"ct mark set meta nfproto . {ip} daddr map @{spans} goto begin")
    return Chain(tuple(rules))


def _prerouting(settings: DataPathSettings) -> Chain:
    return Chain(
        hook=Hook("filter", "prerouting", -90),  # dstnat + 10
        rules=(
            f"{from_tunnel(settings)} goto from_tunnel",
            "ct direction reply goto reply",
            f"{ID} vmap @next_hop",
            f"{ID} != 0x0 goto lost",
            # Nor does any of these match a packet without a conntrack entry.
            "goto unmarked",
        ),
    )


def _unmarked(settings: DataPathSettings, own: IPAddress, named: Mapping[str, str]) -> Chain:
    rules = [
        "ct state established,related accept",
        # The tunnel's own packets, or what claims to be: for this node, so `input` decides.
        f"{protocol(own)} daddr {own} udp dport {settings.port} accept",
        "ip saddr vmap @class4",
        "ip6 saddr vmap @class6",
    ]
    if settings.strict_start:
        rules += [
            f"meta nfproto . {ip} saddr @{named[f'pods{version}']} jump unknown{version}"
            for version, ip in ((4, "ip"), (6, "ip6"))
        ]
    return Chain((*rules, "goto untouched"))


def unknown_chains() -> Mapping[str, Chain]:
    """A new flow from a pod network, but from no pod that is known."""
    return {
        f"unknown{version}": Chain((f"jump outside{version}", drop("unclassified")))
        for version in (4, 6)
    }


def _outside(version: Version, inside: str) -> Chain:
    """Returns for what goes to the outside of the cluster."""
    ip = "ip" if version == 4 else "ip6"
    return Chain(
        (
            f"meta nfproto . {ip} daddr @{inside} goto untouched",
            "fib daddr type { local, broadcast, multicast, anycast } goto untouched",
        )
    )


def _untouched(settings: DataPathSettings, own: IPAddress) -> Chain:
    # A pod must not speak VXLAN to a peer either: masqueraded, it would look like this node.
    foreign = f'iifname != "{settings.underlay_interface}" udp dport {settings.port}'
    peers = f"{protocol(own)} daddr @underlay{own.version}"
    rules = []
    if settings.tunnel_subnet4:
        rules.append(f"ip daddr {settings.tunnel_subnet4} {drop('tunnel_address')}")
    if settings.tunnel_subnet6:
        rules.append(f"ip6 daddr {settings.tunnel_subnet6} {drop('tunnel_address')}")
    rules += [
        f"{foreign} {peers} {drop('foreign_tunnel')}",
        "accept",  # not back to the chain that asked whether it goes outside
    ]
    return Chain(tuple(rules))


def _begin(settings: DataPathSettings) -> Chain:
    # The class was found by the source address alone: it has to be the sender's.
    checked = (f"fib saddr . iif oif missing {drop('spoofed')}",) if settings.source_check else ()
    return Chain(
        (
            *checked,
            f"{ID} vmap @next_hop",
            # No flow, so no mark: whatever its destination was mapped to has gone nowhere.
            f"ct state invalid,untracked {drop('invalid')}",
            "goto lost",
        )
    )


def _claimed(settings: DataPathSettings) -> Chain:
    # From an egress address: a pod that has taken it, unless it comes by the way to the holder.
    other = f'iifname != "{settings.underlay_interface}"'
    return Chain((f"{other} fib saddr . iif oif missing {drop('spoofed')}", "goto untouched"))


def _lost(settings: DataPathSettings) -> Chain:
    return Chain((*counted("policy_dropped", key=NUMBER, settings=settings), drop("no_gateway")))


def _towards(mark: int, *, settings: DataPathSettings) -> Chain:
    return Chain(
        (
            *counted("policy_out", key=NUMBER, settings=settings),
            set_mark(mark, settings=settings),
        )
    )


def _reply(settings: DataPathSettings, *, candidate: bool) -> Chain:
    rules = [f"{ID} == 0x0 accept"]
    if candidate:
        for version in (4, 6):
            key = f"meta nfproto ipv{version} {ID}"
            rules += counted(f"address_in{version}", key=key, settings=settings)
    rules.append(f"ct mark & {LOCAL:#x} != 0x0 goto answered")
    if candidate and settings.reply_route:
        rules.append(set_mark(settings.reply_mark | settings.accept_mark, settings=settings))
    return Chain(tuple(rules))


def _answered(settings: DataPathSettings) -> Chain:
    return Chain((*counted("policy_in", key=NUMBER, settings=settings), "accept"))
