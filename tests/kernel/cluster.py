"""A small cluster on the topology: views, plans and kernels of its three nodes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from kernel.harness import NODES, Topology, node_address, pod_address

from outgate.api.view import (
    DataPathSettings,
    HeldEgress,
    IPNetwork,
    MeshNode,
    NodeView,
    PolicyView,
)
from outgate.rules import diff as rules_diff
from outgate.rules import plan as rules_plan
from outgate.rules.kernel import NftKernel
from outgate.tunnel import diff as tunnel_diff
from outgate.tunnel import plan as tunnel_plan
from outgate.tunnel.kernel import MeshKernel

ID = 2
"""On purpose the mark of a gateway node as well: the two must not get in each other's way."""
EGRESS4 = IPv4Address("198.51.100.7")
EGRESS6 = IPv6Address("2001:db8:e::7")

INSIDE = frozenset(
    map(ip_network, ("10.244.0.0/16", "192.0.2.0/24", "2001:db8:a0::/44", "2001:db8:1::/64"))
)


def mesh_node(name: str, *, underlay: int = 4) -> MeshNode:
    """The worker is no candidate; the others are, with marks 1 and 2."""
    number = NODES.index(name) + 1
    return MeshNode(
        name=name,
        index=number,
        mark=number - 1,
        mac=f"02:00:00:00:00:{number:02x}",
        underlay=node_address(name, underlay),
        tunnel4=IPv4Address(f"198.18.192.{number}"),
        tunnel6=IPv6Address(f"fd6f:7574:6761:7465::{number}"),
    )


@dataclass(frozen=True, slots=True)
class Wish:
    """What the cluster is to do: each pod under one policy; `holder` holds the egress id."""

    holder: str | None = "first"
    exclusions: frozenset[IPNetwork] = frozenset()
    destinations: frozenset[IPNetwork] = frozenset()
    inside: frozenset[IPNetwork] = INSIDE
    known: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Node → the peers it knows, if not all."""


class Cluster:
    """Three programmed nodes. The egress address is on the LAN side of the wish's holder."""

    def __init__(
        self, topology: Topology, settings: DataPathSettings, *, underlay: int = 4
    ) -> None:
        self.topology = topology
        self.settings = settings
        self.underlay = underlay
        self.wish = Wish()
        self.nft = {name: NftKernel(netns=topology.nodes[name].path) for name in NODES}
        self.mesh = {
            name: MeshKernel(settings, namespace=topology.nodes[name].path) for name in NODES
        }

    def view(self, name: str, wish: Wish) -> NodeView:
        known = wish.known.get(name, frozenset(NODES))
        policy = PolicyView(
            key="team/out",
            rank=(0, "", "team/out"),
            destinations=wish.destinations,
            exclusions=wish.exclusions,
            egress4=ID,
            egress6=ID,
        )
        held = (HeldEgress(ID, EGRESS4, EGRESS6),) if wish.holder == name else ()
        return NodeView(
            node=mesh_node(name, underlay=self.underlay),
            peers=tuple(
                mesh_node(each, underlay=self.underlay)
                for each in NODES
                if each != name and each in known
            ),
            inside=wish.inside,
            policies={policy.key: policy},
            pods={pod_address(name, version): (policy.key,) for version in (4, 6)},
            next_hops={ID: wish.holder} if wish.holder else {},
            held=held,
            egress_addresses=frozenset((EGRESS4, EGRESS6)),
        )

    def program(self, wish: Wish) -> None:
        """Everything on every node, in the order of the agent; the egress address moves along."""
        self.wish = wish
        for name in NODES:
            self.program_node(name, wish)
        self.place(wish.holder)

    def program_node(self, name: str, wish: Wish) -> None:
        view = self.view(name, wish)
        self.mesh[name].apply(
            tunnel_diff.diff(self.mesh[name].observe(), tunnel_plan.plan(view, self.settings))
        )
        desired = rules_plan.plan(view, self.settings).ruleset
        self.nft[name].apply(rules_diff.diff(self.nft[name].observe(), desired))

    def restart(self, name: str) -> None:
        """What a starting agent does to its tables."""
        desired = rules_plan.plan(self.view(name, self.wish), self.settings).ruleset
        self.nft[name].apply(rules_diff.replace(desired))

    def place(self, holder: str | None) -> None:
        """Put the egress addresses where the wish has them, and tell the outside."""
        for name in NODES:
            node = self.topology.nodes[name]
            for address in (EGRESS4, EGRESS6):
                node.run(f"ip addr del {address}/{address.max_prefixlen} dev eth0", check=False)
        if holder:
            node = self.topology.nodes[holder]
            node.ip(
                f"addr add {EGRESS4}/32 dev eth0 preferred_lft 0",
                f"addr add {EGRESS6}/128 dev eth0 nodad preferred_lft 0",
            )
            self.topology.outside.run("ip neigh flush dev eth0")

    def count(self, name: str, counter: str) -> int:
        """Packets that a node dropped for that reason."""
        return self.nft[name].counters()[counter].packets


def without_holder(wish: Wish) -> Wish:
    return replace(wish, holder=None)


def egress(version: int) -> IPv4Address | IPv6Address:
    return EGRESS4 if version == 4 else EGRESS6


def node(name: str, version: int) -> IPv4Address | IPv6Address:
    return ip_address(str(node_address(name, version)))
