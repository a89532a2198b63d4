"""The whole decision: a snapshot and what is remembered in, the writes that are due out. Pure.

Idempotent: from a snapshot that shows all its writes done, nothing is to be written. No finalizers:
what is allocated follows from the objects that exist and what their statuses record, so no
deletion can be trapped, and a restart or a new leader goes on where the last one was.

Who holds an address is not decided here but by the gateway nodes; their agents' reports say it.

Served before shown, shown before withdrawn: an address that a policy's status shows keeps its id,
and a node that a gateway's status shows as a holder keeps its mark, until the status says other.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

from outgate.api.clusterinfo import CLUSTER_INFO_NAME, AutoDetect
from outgate.api.core import Node
from outgate.api.gateway import EgressGateway
from outgate.api.kinds import NODE
from outgate.api.match import cluster_default
from outgate.api.policy import AnyPolicy
from outgate.api.tunnel import EgressTunnel
from outgate.controller import policies, serving, slices, writes
from outgate.controller.eligibility import Beat, deaf, forgiven, hear, is_ready
from outgate.controller.gateways import by_age, candidates, read_pools
from outgate.controller.holding import claims_of
from outgate.controller.ids import EgressKey, Ids, allocate_ids
from outgate.controller.inside import inside_networks
from outgate.controller.matching import PodIndex
from outgate.controller.model import Memory, Plan, Settings, Snapshot, Tell, Write
from outgate.controller.moving import describes, put_off
from outgate.controller.policies import Resolved
from outgate.controller.serving import Served
from outgate.controller.status import Moment
from outgate.controller.telling import Known, complaints_of
from outgate.controller.troubles import troubles_of
from outgate.controller.tunnels import Mesh, allocate_tunnels


@dataclass(frozen=True, slots=True)
class _Nodes:
    """Each gateway's candidates; the heartbeats, and who is silent; the mesh."""

    chosen: Mapping[str, tuple[Node, ...]]
    beats: Mapping[str, Beat]
    silent: frozenset[str]
    mesh: Mesh


@dataclass(frozen=True, slots=True)
class _Egress:
    """The policies with what they get, the gateways with who serves it, and the ids."""

    resolved: tuple[Resolved, ...]
    served: tuple[Served, ...]
    ids: Ids
    default: str

    def holders(self) -> dict[EgressKey, str]:
        """The node of each address in use; "" of those that nobody holds."""
        return {
            (one.gateway.metadata.name, address): hold.node
            for one in self.served
            for address, hold in one.holders.items()
        }


def plan(snapshot: Snapshot, *, settings: Settings, memory: Memory, now: Moment) -> Plan:
    """What is to be written now, and what to remember for the next pass."""
    gateways = by_age(snapshot.gateways.values())
    nodes = _nodes(snapshot, gateways, settings=settings, memory=memory, now=now)
    egress = _egress(snapshot, gateways, nodes=nodes, settings=settings, memory=memory, now=now)
    moving = memory.moving.seen(egress.holders(), now=now.mono)
    due, shown, listed = _policy_writes(snapshot, egress, now=now)
    later = put_off(shown, moving, now=now.mono)
    troubles = _troubles(snapshot, mesh=nodes.mesh)
    urgent: tuple[Iterable[Write], ...] = (
        writes.tunnel_writes(nodes.mesh, nodes=snapshot.nodes, tunnels=snapshot.tunnels),
        _info_writes(snapshot, settings=settings, now=now),
        _gateway_writes(snapshot, egress, beats=nodes.beats, now=now),
        (tell for key, tell in troubles.items() if key not in memory.told),
    )
    return Plan(
        urgent=tuple(tuple(stage) for stage in urgent),
        patient=(tuple(due), () if later else tuple(shown), tuple(listed)),
        memory=Memory(egress.ids.memory, nodes.beats, frozenset(troubles), moving),
        silent=nodes.silent,
        wake=min(filter(None, (_wake(egress.ids), later)), default=None),
    )


def listen(
    snapshot: Snapshot, *, settings: Settings, memory: Memory, now: Moment
) -> Mapping[str, Beat]:
    """The heartbeats after a look at the tunnels. A follower listens too, so as to know at once.

    While none comes at all, and just after that, nobody falls silent.
    """
    tunnels = {name: tunnel for (_, name), tunnel in snapshot.tunnels.items()}
    news = [name for name in tunnels if name not in memory.beats]
    heard = hear(
        tunnels,
        beats=memory.beats,
        silent=_said_silent(snapshot) if news else frozenset(),
        age={name: now.age(tunnels[name].status.last_heartbeat_time) for name in news},
        now=now.mono,
        stale=settings.stale,
    )
    if deaf(memory.beats, now=now.mono):
        return _forgive(heard, snapshot, settings=settings, now=now)
    return MappingProxyType(heard)


def take_over(
    snapshot: Snapshot, *, settings: Settings, memory: Memory, now: Moment
) -> Mapping[str, Beat]:
    """The heartbeats with which a new leader begins."""
    heard = listen(snapshot, settings=settings, memory=memory, now=now)
    return _forgive(heard, snapshot, settings=settings, now=now)


def _forgive(
    beats: Mapping[str, Beat], snapshot: Snapshot, *, settings: Settings, now: Moment
) -> Mapping[str, Beat]:
    silent = _said_silent(snapshot)
    return MappingProxyType(forgiven(beats, silent=silent, now=now.mono, stale=settings.stale))


def _said_silent(snapshot: Snapshot) -> frozenset[str]:
    """The nodes that gateways' statuses say are silent."""
    listed = (gateway.status.node_list for gateway in snapshot.gateways.values())
    return frozenset(
        node.name for nodes in listed for node in nodes if node.reason == "AgentSilent"
    )


def silent_nodes(beats: Mapping[str, Beat], *, settings: Settings, now: Moment) -> frozenset[str]:
    """The nodes whose agents have not reported for too long."""
    return frozenset(name for name, beat in beats.items() if beat.seen + settings.stale <= now.mono)


def next_silence(beats: Mapping[str, Beat], *, settings: Settings, now: Moment) -> float | None:
    """When, on the monotonic clock, the next agent counts as silent if it says nothing."""
    ends = (beat.seen + settings.stale for beat in beats.values())
    return min((end for end in ends if end > now.mono), default=None)


def only_heartbeats(before: Snapshot, after: Snapshot) -> bool:
    """Whether a plan of the one holds for the other, if nobody fell silent or came back.

    Compares what did not change by identity, which is what a store's snapshots keep.
    """
    same = all(
        getattr(before, name) is getattr(after, name)
        for name in (entry.name for entry in fields(Snapshot))
        if name not in ("tunnels", "config_maps")
    )
    return (
        same
        and before.config_maps == after.config_maps
        and before.tunnels.keys() == after.tunnels.keys()
        and all(_same_but_beat(before.tunnels[key], new) for key, new in after.tunnels.items())
    )


def _same_but_beat(old: EgressTunnel, new: EgressTunnel) -> bool:
    return old is new or (
        old.spec == new.spec
        and old.metadata.owner_references == new.metadata.owner_references
        and old.metadata.creation_timestamp == new.metadata.creation_timestamp
        and old.status.phase == new.status.phase
        and old.status.underlay == new.status.underlay
        and old.status.holding == new.status.holding
        and old.status.fitness == new.status.fitness
        and old.status.moves == new.status.moves
        and old.status.troubles == new.status.troubles
        and old.status.conditions == new.status.conditions
        and bool(old.status.last_heartbeat_time) == bool(new.status.last_heartbeat_time)
    )


def _nodes(
    snapshot: Snapshot,
    gateways: Iterable[EgressGateway],
    *,
    settings: Settings,
    memory: Memory,
    now: Moment,
) -> _Nodes:
    chosen = {g.metadata.name: candidates(g, snapshot.nodes.values()) for g in gateways}
    beats = listen(snapshot, settings=settings, memory=memory, now=now)
    wanted = {node.metadata.name for nodes in chosen.values() for node in nodes}
    shown = {entry.node for gateway in gateways for entry in gateway.status.addresses}
    mesh = allocate_tunnels(
        [name for _, name in snapshot.nodes],
        candidates=wanted | shown,
        tunnels=snapshot.tunnels.values(),
        settings=settings.mesh,
    )
    silent = silent_nodes(beats, settings=settings, now=now)
    return _Nodes(chosen, beats, silent, mesh)


def _egress(
    snapshot: Snapshot,
    gateways: tuple[EgressGateway, ...],
    *,
    nodes: _Nodes,
    settings: Settings,
    memory: Memory,
    now: Moment,
) -> _Egress:
    pools = read_pools(gateways)
    default = cluster_default(gateways)
    resolved = policies.resolve(
        _every_policy(snapshot), pools=pools, default=default, namespaces=snapshot.namespaces
    )
    used = policies.in_use(resolved) | dict.fromkeys(policies.still_shown(resolved, pools=pools))
    ids = allocate_ids(
        used,
        recorded=_recorded(gateways),
        memory=memory.ids,
        now=now.mono,
        quarantine=settings.quarantine,
    )
    addresses: dict[str, list[str]] = {}
    for gateway, address in used:
        addresses.setdefault(gateway, []).append(address)
    reporting = _reporting(snapshot, silent=nodes.silent)
    claims = claims_of(snapshot.tunnels.values(), reporting=reporting)
    troubles = troubles_of(snapshot.tunnels.values(), reporting=reporting)
    complaints = complaints_of(snapshot.tunnels.values())
    served = tuple(
        serving.serve(
            gateway,
            read=pools[name],
            verdicts=serving.judge_all(
                nodes.chosen[name],
                gateway=name,
                tunnels=snapshot.tunnels,
                silent=nodes.silent,
                unmarked=nodes.mesh.unmarked,
            ),
            addresses=addresses.get(name, ()),
            claims=claims.get(name, {}),
            complaints=complaints,
            seen=troubles.get(name, ()),
        )
        for name, gateway in ((gateway.metadata.name, gateway) for gateway in gateways)
    )
    return _Egress(resolved, served, ids, default)


def _reporting(snapshot: Snapshot, *, silent: Collection[str]) -> frozenset[str]:
    """The nodes whose word on what they hold counts: Ready, and their agents report."""
    return frozenset(
        name for (_, name), node in snapshot.nodes.items() if name not in silent and is_ready(node)
    )


def _gateway_writes(
    snapshot: Snapshot, egress: _Egress, *, beats: Mapping[str, Beat], now: Moment
) -> list[Write]:
    due: list[Write] = []
    known = Known(
        nodes=frozenset(name for _, name in snapshot.nodes),
        heard={name: now.mono - beat.seen for name, beat in beats.items()},
        moves={name: tunnel.status.moves for (_, name), tunnel in snapshot.tunnels.items()},
    )
    for one in egress.served:
        status = serving.status_of(
            one, ids=egress.ids.of, short=egress.ids.short, default=egress.default, now=now
        )
        due += serving.writes_of(one, status, known=known)
    return due


def _policy_writes(
    snapshot: Snapshot, egress: _Egress, *, now: Moment
) -> tuple[list[Write], list[Write], list[Write]]:
    """Writes of policies' statuses, first those by which pods leave; and of their slices."""
    due: list[Write] = []
    shown: list[Write] = []
    listed: list[Write] = []
    holders = egress.holders()
    idle = frozenset(one.gateway.metadata.name for one in egress.served if not one.eligible)
    index = PodIndex(snapshot.pods.values(), snapshot.namespaces)
    owned = slices.by_owner([*snapshot.slices.values(), *snapshot.cluster_slices.values()])
    for one in egress.resolved:
        pods = index.matched(one.policy)
        status = policies.status_of(
            one,
            holders=holders,
            idle=idle,
            short=egress.ids.short,
            tunnels=snapshot.tunnels,
            matched=len(pods),
            now=now,
        )
        stage = shown if describes(one.policy.status, status) else due
        stage += policies.writes_of(one.policy, status)
        existing = owned.get(one.policy.metadata.uid, ())
        listed += writes.slice_writes(one.policy, pods=pods, existing=existing)
    listed += writes.orphan_writes(owned, uids={r.policy.metadata.uid for r in egress.resolved})
    return due, shown, listed


def _every_policy(snapshot: Snapshot) -> Iterator[AnyPolicy]:
    yield from snapshot.policies.values()
    yield from snapshot.cluster_policies.values()


def _recorded(gateways: Iterable[EgressGateway]) -> Iterator[tuple[EgressKey, int]]:
    for gateway in gateways:
        for entry in gateway.status.addresses:
            yield (gateway.metadata.name, entry.address), entry.id


def _info_writes(snapshot: Snapshot, *, settings: Settings, now: Moment) -> list[Write]:
    info = snapshot.infos.get(("", CLUSTER_INFO_NAME))
    found = inside_networks(
        detect=info.spec.auto_detect if info is not None else AutoDetect(),
        extra=info.spec.extra_cidr if info is not None else (),
        nodes=snapshot.nodes.values(),
        service_cidrs=snapshot.service_cidrs.values(),
        config_maps=snapshot.config_maps,
        calico_pools=snapshot.calico_pools.values(),
        configured_service_cidrs=settings.service_cidrs,
    )
    return writes.info_writes(info, found=found, now=now)


def _troubles(snapshot: Snapshot, *, mesh: Mesh) -> dict[tuple[str, str, str], Tell]:
    """What no object's status can say, by what it is about: Events, told once while it lasts."""
    found: dict[tuple[str, str, str], Tell] = {}
    for reason, short in (("TunnelExhausted", mesh.short), ("MarksExhausted", mesh.unmarked)):
        for name, message in short.items():
            tell = Tell(NODE, snapshot.nodes["", name], "Warning", reason, message)
            found[NODE.name, name, message] = tell
    return found


def _wake(ids: Ids) -> float | None:
    if not ids.short:
        return None
    return min((rest.until for rest in ids.memory.resting.values()), default=None)
