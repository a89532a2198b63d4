"""From a snapshot of the API to what this node has to program: the agent's one decision, pure.

Everything uncertain is closed, not open: a policy that matches and can't be honoured gets the
egress id that leads nowhere, as does a family for which it has no address. An object that can't
be read is left out and named; it never stops the others.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses
from typing import Generic, TypeVar

from outgate.agent.egress import EgressTable, egress_table
from outgate.agent.matching import Key, PodMatcher, policy_key
from outgate.agent.mesh import LocalNode, Mesh, mesh_of
from outgate.api.clusterinfo import CLUSTER_INFO_NAME, EgressClusterInfo, EgressClusterInfoStatus
from outgate.api.core import Namespace, Pod
from outgate.api.gateway import EgressGateway
from outgate.api.match import networks, pod_addresses
from outgate.api.policy import AnyPolicy, EgressClusterPolicy, EgressPolicy
from outgate.api.tunnel import EgressTunnel
from outgate.api.view import HeldEgress, IPAddress, IPNetwork, NodeView, PolicyView

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the stores hold, by (namespace, name)."""

    pods: Mapping[Key, Pod] = field(default_factory=dict)
    namespaces: Mapping[Key, Namespace] = field(default_factory=dict)
    gateways: Mapping[Key, EgressGateway] = field(default_factory=dict)
    policies: Mapping[Key, EgressPolicy] = field(default_factory=dict)
    cluster_policies: Mapping[Key, EgressClusterPolicy] = field(default_factory=dict)
    tunnels: Mapping[Key, EgressTunnel] = field(default_factory=dict)
    cluster_infos: Mapping[Key, EgressClusterInfo] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """view: None while this node can't be programmed; `waiting` says for what then.

    problems: objects that could not be read or honoured, a sentence each, sorted.
    """

    view: NodeView | None
    waiting: str
    problems: tuple[str, ...]


class ViewMaker:
    """Makes views. Keeps what it worked out about objects that have not changed since.

    The result depends on the snapshot alone: a new maker gives the same one, only slower.
    """

    def __init__(self) -> None:
        self._matcher = PodMatcher()
        # By policy, for as long as it and its egress ids are the same; and those that are known
        # to be still right, for as long as no policy and no gateway has changed at all.
        self._policies: dict[str, tuple[AnyPolicy, int, int, PolicyView | str]] = {}
        self._fresh: dict[str, PolicyView | str] = {}
        self._source: tuple[object, ...] | None = None
        self._egress = _Memo(_egress)
        self._mesh = _Memo(_mesh)
        self._inside = _Memo(_inside)

    def view(self, snapshot: Snapshot, *, local: LocalNode) -> Outcome:
        """What this node has to program, for this snapshot."""
        info = snapshot.cluster_infos.get(("", CLUSTER_INFO_NAME))
        if info is None or info.status == EgressClusterInfoStatus():
            # Without it every destination would count as outside.
            return Outcome(None, "the controller to publish EgressClusterInfo's status", ())
        mesh = self._mesh.of((snapshot.tunnels, local))
        if mesh.node is None:
            waiting = f"the controller to give EgressTunnel {local.name} its place in the mesh"
            return Outcome(None, waiting, mesh.problems)
        egress = self._egress.of(snapshot.gateways)
        inside, odd = self._inside.of(info)
        pods, policies, faults = self._pods(snapshot, egress, node=local.name)
        view = NodeView(
            node=mesh.node,
            peers=mesh.peers,
            inside=inside,
            policies=policies,
            pods=pods,
            next_hops=_next_hops(egress, mesh),
            held=_held(egress, local),
            egress_addresses=_virtual(egress, inside),
        )
        problems = (*mesh.problems, *egress.problems, *odd, *faults)
        return Outcome(view, "", tuple(sorted(problems)))

    def _pods(
        self, snapshot: Snapshot, egress: EgressTable, *, node: str
    ) -> tuple[Mapping[IPAddress, tuple[str, ...]], Mapping[str, PolicyView], Iterable[str]]:
        local = {key: pod for key, pod in snapshot.pods.items() if pod.spec.node_name == node}
        matched = self._matcher.match(
            local, snapshot.namespaces, snapshot.policies, snapshot.cluster_policies
        )
        source = (snapshot.policies, snapshot.cluster_policies, egress)
        if not _same(source, self._source):
            self._source, self._fresh = source, {}
        distinct = set(matched.values())
        for key in frozenset[str]().union(*distinct):
            if key not in self._fresh:
                self._fresh[key] = self._policy(key, egress)
        made = {key: self._fresh[key] for under in distinct for key in under}
        views = {key: view for key, view in made.items() if isinstance(view, PolicyView)}
        faults = [view for view in made.values() if isinstance(view, str)]
        self._policies = {key: known for key, known in self._policies.items() if key in made}
        pods: dict[IPAddress, tuple[str, ...]] = {}
        sets: dict[frozenset[str], tuple[str, ...]] = {}
        # An address that two pods claim belongs to the one that lives on, else to the younger.
        for pod in sorted((local[key] for key in matched), key=_claim):
            under = matched[pod.metadata.namespace, pod.metadata.name]
            if under not in sets:
                sets[under] = tuple(sorted(key for key in under if key in views))
            for address in pod_addresses(pod):
                pods[address] = sets[under]
        return {a: keys for a, keys in pods.items() if keys}, views, faults

    def _policy(self, key: str, egress: EgressTable) -> PolicyView | str:
        policy = self._matcher.policy(key)
        egress4, egress6 = egress.of(policy.status)
        known = self._policies.get(key)
        if known is None or known[:3] != (policy, egress4, egress6):
            known = (policy, egress4, egress6, _policy_view(policy, egress4, egress6))
            self._policies[key] = known
        return known[3]


class _Memo(Generic[S, T]):
    """A function's last result, given again for the same object."""

    def __init__(self, function: Callable[[S], T]) -> None:
        self._function = function
        self._last: tuple[S, T] | None = None

    def of(self, source: S) -> T:
        if self._last is None or not _same(self._last[0], source):
            self._last = (source, self._function(source))
        return self._last[1]


def _same(old: object, new: object) -> bool:
    if isinstance(old, tuple) and isinstance(new, tuple):
        return all(_same(one, other) for one, other in zip(old, new, strict=True))
    return old is new or (isinstance(old, LocalNode) and old == new)


def _egress(gateways: Mapping[Key, EgressGateway]) -> EgressTable:
    return egress_table(gateways.values())


def _mesh(source: tuple[Mapping[Key, EgressTunnel], LocalNode]) -> Mesh:
    tunnels, local = source
    return mesh_of(tunnels.values(), local=local)


def _policy_view(policy: AnyPolicy, egress4: int, egress6: int) -> PolicyView | str:
    """The policy's rule; or why it has none: destinations that can't be read are not "all"."""
    key = policy_key(policy)
    spec = policy.spec
    destinations = frozenset(networks(spec.dest_subnet))
    if spec.dest_subnet and not destinations:
        return f"{type(policy).__name__} {key}: destSubnet has no network that can be read"
    cluster = isinstance(policy, EgressClusterPolicy)
    return PolicyView(
        key=key,
        rank=(1 if cluster else 0, policy.metadata.creation_timestamp, key),
        destinations=destinations,
        exclusions=frozenset(networks(spec.exclude_subnet)),
        egress4=egress4,
        egress6=egress6,
    )


def _claim(pod: Pod) -> tuple[bool, str, str, str]:
    meta = pod.metadata
    stays = meta.deletion_timestamp is None
    return stays, meta.creation_timestamp, meta.namespace, meta.name


def _next_hops(egress: EgressTable, mesh: Mesh) -> Mapping[int, str]:
    usable = {peer.name for peer in mesh.peers if peer.mark}
    if mesh.node is not None:
        usable.add(mesh.node.name)
    return {id_: node for id_, node in sorted(egress.holders.items()) if node in usable}


def _virtual(egress: EgressTable, inside: frozenset[IPNetwork]) -> frozenset[IPAddress]:
    # A node's own address may be an egress address too, and may come by any way.
    own = {network.network_address for network in inside if network.num_addresses == 1}
    return frozenset(each for each in egress.addresses.values() if each is not None) - own


def _held(egress: EgressTable, local: LocalNode) -> tuple[HeldEgress, ...]:
    held: list[HeldEgress] = []
    for id_ in sorted(id_ for id_, node in egress.holders.items() if node == local.name):
        match egress.addresses[id_]:
            case None:
                held.append(HeldEgress(id_, local.ipv4, local.ipv6))
            case IPv4Address() as ipv4:
                held.append(HeldEgress(id_, ipv4, None))
            case IPv6Address() as ipv6:
                held.append(HeldEgress(id_, None, ipv6))
    return tuple(held)


def _inside(info: EgressClusterInfo) -> tuple[frozenset[IPNetwork], tuple[str, ...]]:
    v4: list[IPv4Network] = []
    v6: list[IPv6Network] = []
    problems: list[str] = []
    for entry in info.status.networks:
        found = networks((entry.cidr,))
        if not found:
            problems.append(f"EgressClusterInfo: network {entry.cidr!r} can't be read")
        for network in found:
            match network:
                case IPv4Network():
                    v4.append(network)
                case IPv6Network():
                    v6.append(network)
    return frozenset((*collapse_addresses(v4), *collapse_addresses(v6))), tuple(problems)
