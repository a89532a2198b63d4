"""Views for tests: a small cluster by hand, and any cluster at all for properties."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from hypothesis import strategies as st

from outgate.api.view import (
    NO_EGRESS,
    DataPathSettings,
    HeldEgress,
    IPAddress,
    IPNetwork,
    MeshNode,
    NodeView,
    PolicyView,
)
from outgate.rules.model import Ruleset
from outgate.rules.plan import plan


def mesh_node(index: int, *, mark: int = 0, underlay: IPAddress | None = None) -> MeshNode:
    return MeshNode(
        name=f"node-{index}",
        index=index,
        mark=mark,
        mac=f"02:00:00:00:00:{index:02x}",
        underlay=underlay or IPv4Address(f"192.0.2.{index}"),
        tunnel4=IPv4Address("198.18.192.0") + index,
        tunnel6=IPv6Address("fd6f:7574:6761:7465::") + index,
    )


def policy(
    key: str,
    *,
    destinations: tuple[str, ...] = (),
    exclusions: tuple[str, ...] = (),
    egress: int = 1,
    order: int = 0,
    created: str = "",
) -> PolicyView:
    return PolicyView(
        key=key,
        rank=(order, created, key),
        destinations=frozenset(map(ip_network, destinations)),
        exclusions=frozenset(map(ip_network, exclusions)),
        egress4=egress,
        egress6=egress,
    )


def ruleset(view: NodeView, settings: DataPathSettings) -> Ruleset:
    """What a node's first plan holds."""
    return plan(view, settings).ruleset


WORKER = mesh_node(1)
FIRST = mesh_node(2, mark=1)
SECOND = mesh_node(3, mark=2)
INSIDE = frozenset(map(ip_network, ("10.244.0.0/16", "192.0.2.0/26", "2001:db8:a::/48")))

POLICIES = {
    each.key: each
    for each in (
        policy("cluster/all", egress=1, order=1),
        policy(
            "team/partner",
            destinations=("203.0.113.0/24", "2001:db8:f::/64"),
            exclusions=("203.0.113.128/25",),
            egress=2,
        ),
        policy("team/nowhere", destinations=("198.51.100.9/32",), egress=NO_EGRESS),
    )
}

SMALL = NodeView(
    node=WORKER,
    peers=(FIRST, SECOND),
    inside=INSIDE,
    policies=POLICIES,
    pods={
        ip_address("10.244.1.5"): ("cluster/all",),
        ip_address("10.244.1.6"): ("cluster/all", "team/nowhere", "team/partner"),
        ip_address("2001:db8:a:1::6"): ("cluster/all", "team/nowhere", "team/partner"),
    },
    next_hops={1: FIRST.name, 2: SECOND.name},
    held=(),
)
"""Seen by a node that is no gateway candidate."""

SMALL_GATEWAY = replace(
    SMALL,
    node=FIRST,
    peers=(WORKER, SECOND),
    held=(HeldEgress(1, IPv4Address("198.51.100.7"), IPv6Address("2001:db8:e::7")),),
)
"""The same cluster, seen by the gateway node that holds id 1."""

SETTINGS = DataPathSettings()


def _networks() -> st.SearchStrategy[IPNetwork]:
    def v4(offset: int, length: int) -> IPNetwork:
        return ip_network((0xCB007100 + offset, length), strict=False)

    def v6(offset: int, length: int) -> IPNetwork:
        return ip_network((0x20010DB8 << 96 | offset, length), strict=False)

    return st.builds(v4, st.integers(0, 255), st.integers(22, 32)) | st.builds(
        v6, st.integers(0, 255), st.integers(118, 128)
    )


_KEYS = ("a", "b", "c")
_IDS = st.sampled_from([1, 2, 3, 65534, NO_EGRESS])
_NAMES = st.sampled_from([f"node-{index}" for index in range(1, 6)])


@st.composite
def views(draw: st.DrawFn) -> NodeView:
    """Any view: nodes with and without marks, overlapping policies, ids held anywhere."""
    nodes = [
        replace(
            mesh_node(index, mark=draw(st.sampled_from([0, index]))),
            mac=f"02:00:00:00:{draw(st.integers(0, 1)):02x}:{index:02x}",
        )
        for index in draw(st.sets(st.integers(1, 5), min_size=1))
    ]
    networks = st.frozensets(_networks(), max_size=3)
    policies = {
        key: PolicyView(
            key=key,
            rank=(0, "", key),
            destinations=draw(networks),
            exclusions=draw(networks),
            egress4=draw(_IDS),
            egress6=draw(_IDS),
        )
        for key in _KEYS
    }
    pods = st.dictionaries(
        st.sampled_from([ip_address(f"10.244.1.{number}") for number in range(4)])
        | st.sampled_from([ip_address(f"2001:db8:a::{number}") for number in range(4)]),
        st.sets(st.sampled_from(_KEYS)).map(lambda keys: tuple(sorted(keys))),
        max_size=5,
    )
    held = [
        HeldEgress(
            id_,
            draw(st.none() | st.just(IPv4Address("198.51.100.0") + id_)),
            draw(st.none() | st.just(IPv6Address("2001:db8:e::") + id_)),
        )
        for id_ in draw(st.sets(st.integers(1, 3)))
    ]
    return NodeView(
        node=nodes[0],
        peers=tuple(nodes[1:]),
        inside=draw(networks),
        policies=policies,
        pods=draw(pods),
        next_hops=draw(st.dictionaries(st.integers(1, 3), _NAMES)),
        held=tuple(held),
    )


settings = st.builds(
    DataPathSettings,
    reply_route=st.booleans(),
    mark_mask=st.sampled_from([0xFF, 0x3F]),
    mtu=st.sampled_from([1450, 1430]),
    port=st.sampled_from([7789, 4790]),
)
