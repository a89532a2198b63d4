"""A cluster in memory for the plan's tests: objects by kind, changed by tests and by writes."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from outgate.api.core import (
    Namespace,
    Node,
    NodeAddress,
    NodeCondition,
    NodeSpec,
    NodeStatus,
    Pod,
    PodIP,
    PodSpec,
    PodStatus,
)
from outgate.api.gateway import EgressGateway, EgressGatewaySpec, IPPools, NodeSelector
from outgate.api.kinds import (
    EGRESS_CLUSTER_ENDPOINT_SLICE,
    EGRESS_CLUSTER_INFO,
    EGRESS_CLUSTER_POLICY,
    EGRESS_ENDPOINT_SLICE,
    EGRESS_GATEWAY,
    EGRESS_POLICY,
    EGRESS_TUNNEL,
    NAMESPACE,
    NODE,
    POD,
    SERVICE_CIDR,
    Kind,
)
from outgate.api.meta import LabelSelector, ObjectMeta, Wire
from outgate.api.policy import (
    AppliedTo,
    ClusterAppliedTo,
    EgressClusterPolicy,
    EgressClusterPolicySpec,
    EgressIP,
    EgressPolicy,
    EgressPolicySpec,
)
from outgate.api.tunnel import Fitness, Holding, Underlay
from outgate.controller.assign import heir
from outgate.controller.model import Apply, Delete, Memory, Plan, Settings, Snapshot, Tell, Write
from outgate.controller.plan import plan
from outgate.controller.status import Moment

GATEWAY_LABELS = {"role": "egress"}
START = datetime(2026, 1, 1, tzinfo=UTC)

FIELDS: dict[str, str] = {
    EGRESS_GATEWAY.plural: "gateways",
    EGRESS_POLICY.plural: "policies",
    EGRESS_CLUSTER_POLICY.plural: "cluster_policies",
    EGRESS_TUNNEL.plural: "tunnels",
    EGRESS_ENDPOINT_SLICE.plural: "slices",
    EGRESS_CLUSTER_ENDPOINT_SLICE.plural: "cluster_slices",
    EGRESS_CLUSTER_INFO.plural: "infos",
    POD.plural: "pods",
    NAMESPACE.plural: "namespaces",
    NODE.plural: "nodes",
    SERVICE_CIDR.plural: "service_cidrs",
    "configmaps": "config_maps",
    "ippools": "calico_pools",
}


@dataclass
class World:
    """Objects, a clock, and what the controller remembers."""

    settings: Settings = field(default_factory=Settings)
    memory: Memory = field(default_factory=Memory)
    seconds: float = 1000.0
    objects: dict[str, dict[tuple[str, str], Any]] = field(
        default_factory=lambda: {name: {} for name in FIELDS.values()}
    )
    told: list[Tell] = field(default_factory=list)
    _count: int = 0
    _epoch: int = 0

    def now(self) -> Moment:
        return Moment(self.seconds, START + timedelta(seconds=self.seconds))

    def snapshot(self, *, shuffle: random.Random | None = None) -> Snapshot:
        kinds: dict[str, Any] = {}
        for name, objects in self.objects.items():
            items = list(objects.items())
            if shuffle is not None:
                shuffle.shuffle(items)
            kinds[name] = dict(items)
        return Snapshot(**kinds)

    def plan(self, *, shuffle: random.Random | None = None) -> Plan:
        return plan(
            self.snapshot(shuffle=shuffle),
            settings=self.settings,
            memory=self.memory,
            now=self.now(),
        )

    def step(self) -> Plan:
        """One pass, and all its writes."""
        made = self.plan()
        self.memory = made.memory
        for write in made.writes():
            self.perform(write)
        return made

    def settle(self, passes: int = 12) -> "World":
        """Passes, and gateway nodes that take addresses, until nothing is to be done."""
        for _ in range(passes):
            written = list(self.step().writes())
            if not self.claim() and not written:
                return self
        raise AssertionError(f"still writing after {passes} passes")

    def claim(self) -> bool:
        """What the gateway nodes' vip processes do: each address to one node; whether any moved.

        A holder that may stay does; else the heir claims, and whoever is alive hears of it.
        """
        changed = False
        for (_, name), gateway in self.objects["gateways"].items():
            eligible = tuple(n.name for n in gateway.status.node_list if n.status == "Ready")
            wanted = {e.address: e.node for e in gateway.status.addresses if e.address}
            free = {a for a, node in wanted.items() if node not in eligible} if eligible else set()
            for node, old in self.claims(name).items():
                kept = {a: e for a, e in old.items() if a in wanted and a not in free}
                changed |= kept != old and self.hold(node, name, kept)
            heirs = {address: heir(name, address, eligible) for address in free}
            for node in set(heirs.values()):
                self._epoch += 1
                taken = {a: self._epoch for a, its in heirs.items() if its == node}
                kept = self.claims(name).get(node, {})
                changed |= self.hold(node, name, kept | taken)
        return changed

    def claims(self, gateway: str = "gw") -> dict[str, dict[str, int]]:
        """Node → address → epoch, as the agents have reported."""
        return {
            node: {
                address: claim.epoch
                for claim in tunnel.status.holding
                if claim.gateway == gateway
                for address in claim.addresses
            }
            for (_, node), tunnel in self.objects["tunnels"].items()
        }

    def hold(self, node: str, gateway: str, claims: Mapping[str, int]) -> bool:
        """The node's agent reports that it holds these addresses (address → epoch); True.

        Nothing else of its report changes, nor its time.
        """
        tunnel = self.objects["tunnels"]["", node]
        others = [c for c in tunnel.status.holding if c.gateway != gateway]
        epochs = sorted(set(claims.values()))
        mine = [
            Holding(
                gateway=gateway,
                epoch=epoch,
                addresses=tuple(sorted(a for a, its in claims.items() if its == epoch)),
            )
            for epoch in epochs
        ]
        status = msgspec.structs.replace(tunnel.status, holding=(*others, *mine))
        self.put(EGRESS_TUNNEL, msgspec.structs.replace(tunnel, status=status))
        return True

    def unfit(self, node: str, *, gateway: str = "gw", message: str = "") -> None:
        """The node's agent reports that it is unfit to serve the gateway; without words, fit."""
        tunnel = self.objects["tunnels"]["", node]
        fitness = Fitness(
            gateway=gateway,
            fit=not message,
            reason="ProbesFailed" if message else "",
            message=message,
        )
        status = msgspec.structs.replace(tunnel.status, fitness=(fitness,))
        self.put(EGRESS_TUNNEL, msgspec.structs.replace(tunnel, status=status))

    def restart(self) -> None:
        """Forget what no object records."""
        self.memory = Memory()

    def put(self, kind: Kind[Any], value: Any) -> None:
        """Add an object, or put it in the place of another; uid and times are filled in."""
        self._count += 1
        meta: ObjectMeta = value.metadata
        filled = msgspec.structs.replace(
            meta,
            uid=meta.uid or f"uid-{self._count}",
            resource_version=str(self._count),
            generation=meta.generation or 1,
            creation_timestamp=meta.creation_timestamp or self.now().text(),
        )
        key = (meta.namespace, meta.name)
        objects = self.objects[FIELDS[kind.plural]]
        objects[key] = msgspec.structs.replace(value, metadata=filled)

    def change(self, kind: Kind[Any], name: str, *, namespace: str = "", **spec: Any) -> None:
        """Change fields of an object's spec, as a user does."""
        value = self.objects[FIELDS[kind.plural]][namespace, name]
        meta = msgspec.structs.replace(value.metadata, generation=value.metadata.generation + 1)
        changed = msgspec.structs.replace(value.spec, **spec)
        self.put(kind, msgspec.structs.replace(value, metadata=meta, spec=changed))

    def remove(self, kind: Kind[Any], name: str, *, namespace: str = "") -> None:
        """Delete an object, and what it owns."""
        gone = self.objects[FIELDS[kind.plural]].pop((namespace, name))
        for objects in self.objects.values():
            for key, value in list(objects.items()):
                if any(o.uid == gone.metadata.uid for o in value.metadata.owner_references):
                    del objects[key]

    def perform(self, write: Write) -> None:
        """What an API server does with a write."""
        match write:
            case Apply():
                self._apply(write)
            case Delete():
                meta = write.object.metadata
                self.objects[FIELDS[write.kind.plural]].pop((meta.namespace, meta.name), None)
            case Tell():
                self.told.append(write)

    def _apply(self, write: Apply) -> None:
        objects = self.objects[FIELDS[write.kind.plural]]
        old = objects.get((write.namespace, write.name))
        if old is None and write.subresource:
            return
        self.told += write.events
        body: dict[str, Any] = msgspec.to_builtins(write.body)
        base = {} if old is None else msgspec.to_builtins(old)
        meta = base.get("metadata", {}) | {"name": write.name, "namespace": write.namespace}
        merged = base | body | {"metadata": meta | body.get("metadata", {})}
        self.put(write.kind, msgspec.convert(merged, write.kind.type))

    def node(
        self,
        name: str,
        *,
        gateway: bool = True,
        ready: bool = True,
        cordoned: bool = False,
        pod_cidrs: tuple[str, ...] = (),
        address: str = "",
    ) -> None:
        """A node, Ready unless said otherwise."""
        old = self.objects["nodes"].get(("", name))
        addresses = (NodeAddress(type="InternalIP", address=address),) if address else ()
        condition = NodeCondition(type="Ready", status="True" if ready else "False")
        self.put(
            NODE,
            Node(
                metadata=ObjectMeta(
                    name=name,
                    uid=old.metadata.uid if old else "",
                    labels=GATEWAY_LABELS if gateway else {},
                ),
                spec=NodeSpec(unschedulable=cordoned, pod_cidrs=pod_cidrs),
                status=NodeStatus(conditions=(condition,), addresses=addresses),
            ),
        )

    def fall_silent(self, *silent: str, seconds: float = 31.0) -> None:
        """Time in which these agents say nothing, and the others report as always."""
        others = [name for _, name in self.objects["tunnels"] if name not in silent]
        end = self.seconds + seconds
        while self.seconds < end:
            self.seconds = min(self.seconds + 10.0, end)
            self.beat(*others)
            self.memory = self.plan().memory

    def beat(self, *names: str, phase: str = "Ready") -> None:
        """The agents of these nodes (of all that have a tunnel, if none is named) report."""
        for name in names or [name for _, name in self.objects["tunnels"]]:
            tunnel = self.objects["tunnels"]["", name]
            number = int(name.rpartition("-")[2]) if name.rpartition("-")[2].isdigit() else 1
            status = msgspec.structs.replace(
                tunnel.status,
                phase=phase,
                underlay=Underlay(
                    interface="eth0",
                    ipv4=f"192.0.2.{number}",
                    ipv6=f"2001:db8::{number}",
                    mtu=1500,
                ),
                last_heartbeat_time=self.now().text(),
            )
            self.put(EGRESS_TUNNEL, msgspec.structs.replace(tunnel, status=status))

    def nodes_up(self, *names: str) -> None:
        """Gateway nodes with running agents."""
        for name in names:
            self.node(name)
        self.step()
        self.beat(*names)

    def gateway(
        self,
        name: str = "gw",
        *,
        pools: IPPools | None = None,
        default: bool = False,
        created: str = "",
    ) -> None:
        """A gateway on the nodes that `node(gateway=True)` makes."""
        self.put(
            EGRESS_GATEWAY,
            EgressGateway(
                metadata=ObjectMeta(name=name, creation_timestamp=created),
                spec=EgressGatewaySpec(
                    node_selector=NodeSelector(selector=LabelSelector(match_labels=GATEWAY_LABELS)),
                    ippools=pools or IPPools(ipv4=("198.51.100.10-198.51.100.12",)),
                    cluster_default=default,
                ),
            ),
        )

    def policy(
        self,
        name: str = "web",
        *,
        namespace: str = "shop",
        gateway: str = "gw",
        egress_ip: EgressIP | None = None,
        labels: Mapping[str, str] | None = None,
        created: str = "",
    ) -> None:
        """A namespaced policy for the pods of these labels (all, if none are named)."""
        selector = LabelSelector(match_labels=dict(labels or {}))
        self.put(
            EGRESS_POLICY,
            EgressPolicy(
                metadata=ObjectMeta(name=name, namespace=namespace, creation_timestamp=created),
                spec=EgressPolicySpec(
                    applied_to=AppliedTo(pod_selector=selector),
                    egress_gateway_name=gateway,
                    egress_ip=egress_ip or EgressIP(),
                ),
            ),
        )

    def cluster_policy(
        self, name: str = "all", *, gateway: str = "gw", egress_ip: EgressIP | None = None
    ) -> None:
        """A cluster policy for every pod."""
        self.put(
            EGRESS_CLUSTER_POLICY,
            EgressClusterPolicy(
                metadata=ObjectMeta(name=name),
                spec=EgressClusterPolicySpec(
                    applied_to=ClusterAppliedTo(pod_selector=LabelSelector()),
                    egress_gateway_name=gateway,
                    egress_ip=egress_ip or EgressIP(),
                ),
            ),
        )

    def namespace(self, name: str = "shop", **annotations: str) -> None:
        """A namespace."""
        self.put(NAMESPACE, Namespace(metadata=ObjectMeta(name=name, annotations=annotations)))

    def pod(
        self,
        name: str,
        *,
        namespace: str = "shop",
        labels: Mapping[str, str] | None = None,
        phase: str = "Running",
        ips: Iterable[str] = ("203.0.113.5",),
        host_network: bool = False,
        node: str = "node-9",
    ) -> None:
        """A pod."""
        self.put(
            POD,
            Pod(
                metadata=ObjectMeta(name=name, namespace=namespace, labels=dict(labels or {})),
                spec=PodSpec(node_name=node, host_network=host_network),
                status=PodStatus(phase=phase, pod_ips=tuple(PodIP(ip=ip) for ip in ips)),
            ),
        )

    def get(self, kind: Kind[Any], name: str, *, namespace: str = "") -> Any:
        """An object."""
        return self.objects[FIELDS[kind.plural]][namespace, name]

    def ready_reason(self, name: str = "web", *, namespace: str = "shop") -> str:
        """The reason of a policy's Ready condition."""
        return reason(self.objects["policies"][namespace, name], "Ready")

    def holders(self, gateway: str = "gw") -> dict[str, str]:
        """Address → node, as the gateway's status has it."""
        status = self.objects["gateways"]["", gateway].status
        return {entry.address: entry.node for entry in status.addresses}

    def ids(self) -> dict[tuple[str, str], int]:
        """(gateway, address) → egress id, as the gateways' statuses have them."""
        return {
            (name, entry.address): entry.id
            for (_, name), gateway in self.objects["gateways"].items()
            for entry in gateway.status.addresses
        }


def reason(value: Wire, type_: str) -> str:
    """The reason of an object's condition."""
    conditions = value.status.conditions  # type: ignore[attr-defined]
    return next((c.reason for c in conditions if c.type == type_), "")
