"""NodeView: all that one node's data path depends on, as plain values; the input of every plan.

`outgate.agent.view` makes it from a snapshot of the API; `outgate.rules.plan` and
`outgate.tunnel.plan` turn it into kernel state. Nothing here is a Kubernetes object.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

EGRESS_ID_MAX = 65534
NO_EGRESS = 65535
"""The egress id of "matched, but there is nothing to leave by": never has a next hop, so the
packet is dropped. Fail closed is a value, not an absence."""

INDEX_MAX = 32767
"""Nodes in one mesh: the sixteenth bit of a conntrack mark tells a local flow from a tunnelled one.
"""

TUNNEL_SUBNET4 = IPv4Network("198.18.192.0/18")  # RFC 2544: in nobody's routing table
TUNNEL_SUBNET6 = IPv6Network("fd6f:7574:6761:7465::/64")  # RFC 4193, "outgate" in ASCII


@dataclass(frozen=True, slots=True)
class MeshNode:
    """A node of the mesh: its own place in it (`EgressTunnel.spec`) and its underlay address.

    `index` (1..INDEX_MAX) names it in conntrack marks, `mark` (0 = no gateway candidate) is the
    packet mark that routes towards it, already in its place under the mark mask.
    """

    name: str
    index: int
    mark: int
    mac: str
    underlay: IPAddress
    tunnel4: IPv4Address | None = None
    tunnel6: IPv6Address | None = None


@dataclass(frozen=True, slots=True)
class PolicyView:
    """One policy's rule: destinations minus exclusions leave with an egress id, per family.

    No `destinations` means all. `rank` orders policies that name equally specific destinations:
    the smallest wins (namespaced before cluster, then older, then name).
    """

    key: str
    rank: tuple[int, str, str]
    destinations: frozenset[IPNetwork]
    exclusions: frozenset[IPNetwork]
    egress4: int
    egress6: int


@dataclass(frozen=True, slots=True)
class HeldEgress:
    """An egress id that this node SNATs for, and to which address, per family."""

    id: int
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None


@dataclass(frozen=True, slots=True)
class GatewayGroup:
    """The nodes of one gateway, which settle among themselves who holds its addresses.

    uid: of the EgressGateway. addresses: all egress IPs in use. eligible: those members that may
    take some. failback: whether one that comes (back) takes its fair share from the others.
    """

    name: str
    uid: str
    addresses: frozenset[IPAddress]
    members: frozenset[str]
    eligible: frozenset[str]
    failback: bool = False


@dataclass(frozen=True, slots=True)
class NodeView:
    """What one node has to program.

    policies: those that some local pod is under. By key; a policy with several addresses has an
    entry for each, `key#2` and so on, and a pod is under one of them.
    pods: address of a local matched pod → keys of the entries it is under, sorted.
    next_hops: egress id → name of the node that holds it. An id without one is not in it.
    held: the ids that this node holds or may come to hold: those of its gateways. It is prepared
    for all of them; whether it may use an address is the vip process' to say, from one packet to
    the next.
    groups: the gateways that this node is a member of.
    ids: of each egress address of the cluster, its egress id.
    inside: networks of the cluster; traffic to them is never touched.
    egress_addresses: all virtual ones of the cluster, whoever holds them: no pod may take one.
    known: addresses of all local pods; pod_networks: where pods' addresses are from.
    """

    node: MeshNode
    peers: tuple[MeshNode, ...]
    inside: frozenset[IPNetwork]
    policies: Mapping[str, PolicyView]
    pods: Mapping[IPAddress, tuple[str, ...]]
    next_hops: Mapping[int, str]
    held: tuple[HeldEgress, ...]
    groups: tuple[GatewayGroup, ...] = ()
    ids: Mapping[IPAddress, int] = field(default_factory=dict)
    egress_addresses: frozenset[IPAddress] = frozenset()
    known: frozenset[IPAddress] = frozenset()
    pod_networks: frozenset[IPNetwork] = frozenset()


@dataclass(frozen=True, slots=True)
class DataPathSettings:
    """What an operator may choose about the data path; checked by `outgate.agent.config`.

    mark_mask: bits of the packet mark that are ours, contiguous, within the low 16 bits.
    reply_route: replies go back through the tunnel (True), or by the CNI's own routes.
    mtu: of the tunnel device, bytes, already less the encapsulation's 50 or 70.
    group: of the tunnel device, by which the rules know it: a number compares faster than a name.
    counters: packets and bytes are counted by policy and by address.
    source_check: a pod's address counts only if it comes by the way to that pod.
    accept_mark: bits of the packet mark by which the owner of FORWARD knows what to accept.
    strict_start: what comes from a pod network, but from no pod that is known, is dropped on its
    way to the outside.
    """

    device: str = "outgate"
    group: int = 7789
    vni: int = 7789
    port: int = 7789
    mark_mask: int = 0xFF
    table_base: int = 7700
    rule_priority: int = 90
    route_protocol: int = 178
    mtu: int = 1450
    underlay_interface: str = "eth0"
    tunnel_subnet4: IPv4Network | None = TUNNEL_SUBNET4
    tunnel_subnet6: IPv6Network | None = TUNNEL_SUBNET6
    reply_route: bool = True
    counters: bool = True
    strict_start: bool = False
    source_check: bool = True
    accept_mark: int = 0

    @property
    def reply_mark(self) -> int:
        """The mark value kept for replies: all bits of the mask. Never a node's mark."""
        return self.mark_mask
