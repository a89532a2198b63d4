"""From a snapshot of the API to what this node has to program: the agent's one decision, pure.

Everything uncertain is closed, not open: a policy that matches and can't be honoured gets the
egress id that leads nowhere, as does a family for which it has no address. An object that can't
be read is left out and named; it never stops the others.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from itertools import chain
from typing import Generic, TypeVar

from outgate.agent.egress import EgressTable, egress_table
from outgate.agent.groups import groups_of
from outgate.agent.holders import NOTHING_SAID, Claims, next_hops
from outgate.agent.inside import cluster_networks
from outgate.agent.matching import Key, PodMatcher
from outgate.agent.mesh import LocalNode, Mesh, mesh_of
from outgate.agent.policies import Lists, PolicyRules, Rules
from outgate.api.clusterinfo import CLUSTER_INFO_NAME, EgressClusterInfo, EgressClusterInfoStatus
from outgate.api.core import Namespace, Pod
from outgate.api.gateway import EgressGateway
from outgate.api.match import matchable, networked, pod_addresses
from outgate.api.policy import EgressClusterPolicy, EgressPolicy
from outgate.api.tunnel import EgressTunnel
from outgate.api.view import GatewayGroup, HeldEgress, IPAddress, NodeView, PolicyView

T = TypeVar("T")
S = TypeVar("S")

NO_POD_NETWORKS = (
    "EgressClusterInfo: no pod network is known, so strictStart guards nothing: is "
    "spec.autoDetect.podCIDR off, or does the CNI give addresses that no Node's podCIDRs, "
    "Flannel configuration or Calico IPPool has?"
)


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

    The result depends on what it is given alone: a new maker gives the same one, only slower.
    strict_start: the rules are to know all pods, and where pods' addresses are from.
    """

    def __init__(self, *, strict_start: bool = False) -> None:
        self._strict_start = strict_start
        # A pod may speak before we hear that it runs, so there it has its class already.
        self._matcher = PodMatcher(about=networked if strict_start else matchable)
        self._rules = PolicyRules()
        self._lists = Lists()
        self._egress = _Memo(_egress)
        self._ids = _Memo(_ids)
        self._mesh = _Memo(_mesh)
        self._networks = _Memo(cluster_networks)
        self._policies = _Memo(_views)

    def view(
        self, snapshot: Snapshot, *, local: LocalNode, claims: Claims = NOTHING_SAID
    ) -> Outcome:
        """What this node has to program, for this snapshot, where the addresses are as claimed."""
        info = snapshot.cluster_infos.get(("", CLUSTER_INFO_NAME))
        if info is None or info.status == EgressClusterInfoStatus():
            # Without it every destination would count as outside.
            return Outcome(None, "the controller to publish EgressClusterInfo's status", ())
        mesh = self._mesh.of((snapshot.tunnels, local))
        if mesh.node is None:
            waiting = f"the controller to give EgressTunnel {local.name} its place in the mesh"
            return Outcome(None, waiting, mesh.problems)
        egress = self._egress.of(snapshot.gateways)
        found = self._networks.of(info)
        here = {key: pod for key, pod in snapshot.pods.items() if pod.spec.node_name == local.name}
        pods, rules = self._pods(snapshot, here, egress)
        hops = _usable(next_hops(egress, claims, node=local.name), mesh)
        groups = groups_of(snapshot.gateways.values(), node=local.name, holds=claims.own or ())
        view = NodeView(
            node=mesh.node,
            peers=mesh.peers,
            inside=found.inside,
            policies=self._policies.of(rules),
            pods=pods,
            next_hops=hops,
            held=_held(egress, hops, groups, local),
            groups=groups,
            ids=self._ids.of(egress),
            egress_addresses=_virtual(egress, found.single),
            known=_known(here.values()) if self._strict_start else frozenset(),
            pod_networks=found.pods if self._strict_start else frozenset(),
        )
        problems = [*mesh.problems, *egress.problems, *found.problems]
        problems += (each.fault for each in rules.values() if each.fault)
        if self._strict_start and not found.pods:
            problems.append(NO_POD_NETWORKS)
        return Outcome(view, "", tuple(sorted(problems)))

    def _pods(
        self, snapshot: Snapshot, here: Mapping[Key, Pod], egress: EgressTable
    ) -> tuple[Mapping[IPAddress, tuple[str, ...]], Mapping[str, Rules]]:
        """The pods' lists, and the rules that they are made of."""
        sources = snapshot.policies, snapshot.cluster_policies
        matched = self._matcher.match(here, snapshot.namespaces, *sources)
        rules = self._rules.of(
            frozenset[str]().union(*set(matched.values())),
            policy=self._matcher.policy,
            egress=egress,
            source=sources,
        )
        self._lists.begin(rules)
        pods: dict[IPAddress, tuple[str, ...]] = {}
        # An address that two pods claim belongs to the one that lives on, else to the younger.
        for pod in sorted((here[key] for key in matched), key=_claim):
            under = matched[pod.metadata.namespace, pod.metadata.name]
            keys = self._lists.of(under, pod)
            for address in pod_addresses(pod):
                pods[address] = keys[address.version]
        return {address: keys for address, keys in pods.items() if keys}, rules


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


def _ids(egress: EgressTable) -> Mapping[IPAddress, int]:
    return {address: id_ for (_, address), id_ in egress.ids.items() if address is not None}


def _mesh(source: tuple[Mapping[Key, EgressTunnel], LocalNode]) -> Mesh:
    tunnels, local = source
    return mesh_of(tunnels.values(), local=local)


def _views(rules: Mapping[str, Rules]) -> Mapping[str, PolicyView]:
    return dict(chain.from_iterable(each.views.items() for each in rules.values()))


def _known(pods: Iterable[Pod]) -> frozenset[IPAddress]:
    """Of pods that have ended neither: whoever has such an address next is not known yet."""
    return frozenset(address for pod in pods if networked(pod) for address in pod_addresses(pod))


def _claim(pod: Pod) -> tuple[bool, str, str, str]:
    meta = pod.metadata
    stays = meta.deletion_timestamp is None
    return stays, meta.creation_timestamp, meta.namespace, meta.name


def _usable(hops: Mapping[int, str], mesh: Mesh) -> Mapping[int, str]:
    usable = {peer.name for peer in mesh.peers if peer.mark}
    if mesh.node is not None:
        usable.add(mesh.node.name)
    return {id_: node for id_, node in sorted(hops.items()) if node in usable}


def _virtual(egress: EgressTable, single: frozenset[IPAddress]) -> frozenset[IPAddress]:
    # A node's own address may be an egress address too, and may come by any way.
    return frozenset(each for each in egress.addresses.values() if each is not None) - single


def _held(
    egress: EgressTable,
    hops: Mapping[int, str],
    groups: Iterable[GatewayGroup],
    local: LocalNode,
) -> tuple[HeldEgress, ...]:
    here = {id_ for id_, node in hops.items() if node == local.name}
    for group in groups:
        here.update(id_ for each in group.addresses if (id_ := egress.ids.get((group.name, each))))
    held: list[HeldEgress] = []
    for id_ in sorted(here):
        match egress.addresses[id_]:
            case None:
                held.append(HeldEgress(id_, local.ipv4, local.ipv6))
            case IPv4Address() as ipv4:
                held.append(HeldEgress(id_, ipv4, None))
            case IPv6Address() as ipv6:
                held.append(HeldEgress(id_, None, ipv6))
    return tuple(held)
