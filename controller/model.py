"""What a pass sees, remembers, and wants written: values between plan and edge. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeVar

from outgate.api.clusterinfo import EgressClusterInfo
from outgate.api.core import CalicoIPPool, ConfigMap, Namespace, Node, Pod, ServiceCIDR
from outgate.api.endpoint import EgressClusterEndpointSlice, EgressEndpointSlice
from outgate.api.gateway import EgressGateway
from outgate.api.kinds import Kind
from outgate.api.meta import ObjectMeta
from outgate.api.policy import EgressClusterPolicy, EgressPolicy
from outgate.api.tunnel import EgressTunnel
from outgate.controller.eligibility import Beat
from outgate.controller.ids import QUARANTINE, IdMemory
from outgate.controller.moving import Moving
from outgate.controller.tunnels import MeshSettings

T = TypeVar("T")

Level = Literal["Normal", "Warning"]
"""An Event's type."""

Key = tuple[str, str]
"""Namespace ("" for cluster-scoped objects) and name."""


class HasMetadata(Protocol):
    """Any of our values that stands for an object."""

    @property
    def metadata(self) -> ObjectMeta:
        """Its metadata."""


def _none() -> Mapping[Key, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the controller watches, at one moment."""

    gateways: Mapping[Key, EgressGateway] = field(default_factory=_none)
    policies: Mapping[Key, EgressPolicy] = field(default_factory=_none)
    cluster_policies: Mapping[Key, EgressClusterPolicy] = field(default_factory=_none)
    tunnels: Mapping[Key, EgressTunnel] = field(default_factory=_none)
    slices: Mapping[Key, EgressEndpointSlice] = field(default_factory=_none)
    cluster_slices: Mapping[Key, EgressClusterEndpointSlice] = field(default_factory=_none)
    infos: Mapping[Key, EgressClusterInfo] = field(default_factory=_none)
    pods: Mapping[Key, Pod] = field(default_factory=_none)
    namespaces: Mapping[Key, Namespace] = field(default_factory=_none)
    nodes: Mapping[Key, Node] = field(default_factory=_none)
    config_maps: Mapping[Key, ConfigMap] = field(default_factory=_none)
    service_cidrs: Mapping[Key, ServiceCIDR] = field(default_factory=_none)
    calico_pools: Mapping[Key, CalicoIPPool] = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may choose about the decisions; checked by `outgate.controller.config`.

    stale: seconds without a heartbeat after which an agent counts as silent. quarantine: seconds
    that a freed egress id rests. service_cidrs: of ClusterIPs, where the API does not tell.
    """

    mesh: MeshSettings = field(default_factory=MeshSettings)
    stale: float = 30.0
    quarantine: float = QUARANTINE
    service_cidrs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """What one pass tells the next, and no object records.

    told: troubles that were told in an Event and still last: (kind, object, message). moving: how
    long addresses have been on the move.
    """

    ids: IdMemory = field(default_factory=IdMemory)
    beats: Mapping[str, Beat] = field(default_factory=lambda: MappingProxyType({}))
    told: frozenset[tuple[str, str, str]] = frozenset()
    moving: Moving = field(default_factory=Moving)


@dataclass(frozen=True, slots=True)
class Tell:
    """An Event about an object. count: how many addresses it is about, if it tells of a move."""

    kind: Kind[Any]
    regarding: HasMetadata
    type: Level
    reason: str
    message: str
    count: int = 0


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of an object, or of its status; with the Events that go with it, if it is
    granted."""

    kind: Kind[Any]
    name: str
    body: Mapping[str, Any]
    namespace: str = ""
    subresource: Literal["", "status"] = ""
    events: tuple[Tell, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete that very object."""

    kind: Kind[Any]
    object: HasMetadata


Write = Apply | Delete | Tell


@dataclass(frozen=True, slots=True)
class Plan:
    """Writes in stages, each done before the next begins; within one, order does not matter.

    Those of `urgent` stages move traffic; the `patient` ones only describe it, and may be spread
    over several passes. silent: nodes whose agents count as silent. wake: when, on the monotonic
    clock, to plan anew although nothing changes: an egress id that somebody waits for is free, or
    moves that were not described yet are to be.
    """

    urgent: tuple[tuple[Write, ...], ...]
    patient: tuple[tuple[Write, ...], ...]
    memory: Memory
    silent: frozenset[str] = frozenset()
    wake: float | None = None

    def writes(self) -> Iterator[Write]:
        """All writes, in order."""
        for stage in (*self.urgent, *self.patient):
            yield from stage
