"""The stores that the agent reads: what it watches of the API, and nothing more.

Pods of its own node only, so that an agent costs the API server what its node costs, whatever
the size of the cluster.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields

from outgate.agent.view import Snapshot
from outgate.api.clusterinfo import EgressClusterInfo
from outgate.api.core import Namespace, Pod
from outgate.api.gateway import EgressGateway
from outgate.api.kinds import (
    EGRESS_CLUSTER_INFO,
    EGRESS_CLUSTER_POLICY,
    EGRESS_GATEWAY,
    EGRESS_POLICY,
    EGRESS_TUNNEL,
    NAMESPACE,
    POD,
)
from outgate.api.policy import EgressClusterPolicy, EgressPolicy
from outgate.api.tunnel import EgressTunnel
from outgate.daemon.task import Task
from outgate.kube.api import Api
from outgate.kube.store import Store
from outgate.kube.watch import Reflector

TUNNEL_DELAY = 0.3
"""Seconds for which changes of EgressTunnels are gathered: all nodes' heartbeats come by there,
hardly ever news; an address that moves is told by its gateway, and does not wait."""


@dataclass(frozen=True, slots=True)
class Stores:
    """One store a kind."""

    pods: Store[Pod] = field(default_factory=Store)
    namespaces: Store[Namespace] = field(default_factory=Store)
    gateways: Store[EgressGateway] = field(default_factory=Store)
    policies: Store[EgressPolicy] = field(default_factory=Store)
    cluster_policies: Store[EgressClusterPolicy] = field(default_factory=Store)
    tunnels: Store[EgressTunnel] = field(default_factory=Store)
    cluster_infos: Store[EgressClusterInfo] = field(default_factory=Store)

    def reflectors(self, api: Api, *, node: str) -> Iterator[Task]:
        """The tasks that keep them equal to the API server."""
        mine = f"spec.nodeName={node}"
        yield Reflector(api, POD, self.pods, field_selector=mine, from_cache=True)
        yield Reflector(api, NAMESPACE, self.namespaces, from_cache=True)
        yield Reflector(api, EGRESS_GATEWAY, self.gateways, from_cache=True)
        yield Reflector(api, EGRESS_POLICY, self.policies, from_cache=True)
        yield Reflector(api, EGRESS_CLUSTER_POLICY, self.cluster_policies, from_cache=True)
        yield Reflector(api, EGRESS_TUNNEL, self.tunnels, from_cache=True)
        yield Reflector(api, EGRESS_CLUSTER_INFO, self.cluster_infos, from_cache=True)

    def unsynced(self) -> tuple[str, ...]:
        """Names of the stores that have never held all there is."""
        return tuple(one.name for one in fields(self) if not getattr(self, one.name).synced)

    def snapshot(self) -> Snapshot:
        """What all of them hold."""
        return Snapshot(**{one.name: getattr(self, one.name).snapshot() for one in fields(self)})

    def subscribe(self, ask: Callable[[float], object]) -> None:
        """Ask for a turn after each change, in so many seconds."""
        for one in fields(self):
            delay = TUNNEL_DELAY if one.name == "tunnels" else 0.0
            getattr(self, one.name).subscribe(lambda delay=delay: ask(delay))
