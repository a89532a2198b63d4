"""The stores of all that the controller watches, and the reflectors that fill them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from outgate.api.kinds import (
    CALICO_IP_POOL,
    CONFIG_MAP,
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
from outgate.controller.inside import FLANNEL_CONFIG, FLANNEL_NAMESPACES
from outgate.controller.model import Snapshot
from outgate.kube.api import Api
from outgate.kube.store import Store
from outgate.kube.watch import Reflector

KINDS: Mapping[str, Kind[Any]] = {
    "gateways": EGRESS_GATEWAY,
    "policies": EGRESS_POLICY,
    "cluster_policies": EGRESS_CLUSTER_POLICY,
    "tunnels": EGRESS_TUNNEL,
    "slices": EGRESS_ENDPOINT_SLICE,
    "cluster_slices": EGRESS_CLUSTER_ENDPOINT_SLICE,
    "infos": EGRESS_CLUSTER_INFO,
    "pods": POD,
    "namespaces": NAMESPACE,
    "nodes": NODE,
    "service_cidrs": SERVICE_CIDR,
    "calico_pools": CALICO_IP_POOL,
}
"""Field of the snapshot → kind. Config maps are watched apart: Flannel's only."""

FIELDS: Mapping[str, str] = {kind.plural: name for name, kind in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Watched:
    """One store for each field of `KINDS`, and one for Flannel's config map in each namespace."""

    stores: Mapping[str, Store[Any]] = field(
        default_factory=lambda: {name: Store() for name in KINDS}
    )
    flannel: Mapping[str, Store[Any]] = field(
        default_factory=lambda: {name: Store() for name in FLANNEL_NAMESPACES}
    )

    def subscribe(self, callback: Callable[[], object]) -> None:
        """Call this after each change in any store."""
        for store in (*self.stores.values(), *self.flannel.values()):
            store.subscribe(callback)

    def unsynced(self) -> list[str]:
        """What has never been seen as a whole: plural names of kinds."""
        names = [KINDS[name].plural for name, store in self.stores.items() if not store.synced]
        maps = [
            f"{CONFIG_MAP.plural} in {name}" for name, s in self.flannel.items() if not s.synced
        ]
        return names + maps

    def snapshot(self) -> Snapshot:
        """All objects, as of now."""
        config_maps = {
            key: value for store in self.flannel.values() for key, value in store.snapshot().items()
        }
        kinds = {name: store.snapshot() for name, store in self.stores.items()}
        return Snapshot(config_maps=config_maps, **kinds)

    def reflectors(self, api: Api) -> tuple[Reflector[Any], ...]:
        """The tasks that keep the stores."""
        kinds = (Reflector(api, KINDS[name], store) for name, store in self.stores.items())
        maps = (
            Reflector(
                api,
                CONFIG_MAP,
                store,
                namespace=namespace,
                field_selector=f"metadata.name={FLANNEL_CONFIG}",
                name=f"watch {CONFIG_MAP.plural} in {namespace}",
            )
            for namespace, store in self.flannel.items()
        )
        return (*kinds, *maps)
