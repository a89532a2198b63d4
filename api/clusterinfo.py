"""EgressClusterInfo: what counts as inside the cluster, and how that was found out."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from outgate.api.meta import NAME_MAX, Condition, ObjectMeta, Wire

CLUSTER_INFO_NAME = "default"
"""The one EgressClusterInfo object; any other name is refused."""

NETWORKS_MAX = 16384

Source = Literal["NodePodCIDR", "NodeAddress", "ServiceCIDR", "Flannel", "Calico", "Extra"]


class AutoDetect(Wire, frozen=True, kw_only=True):
    """Which sources are asked."""

    pod_cidr: bool = msgspec.field(default=True, name="podCIDR")
    node_ip: bool = msgspec.field(default=True, name="nodeIP")
    cluster_ip: bool = msgspec.field(default=True, name="clusterIP")


class EgressClusterInfoSpec(Wire, frozen=True, kw_only=True):
    """What to detect, and what to count as inside besides."""

    auto_detect: AutoDetect = AutoDetect()
    extra_cidr: Annotated[
        tuple[Annotated[str, Meta(min_length=2, max_length=49)], ...], Meta(max_length=256)
    ] = msgspec.field(default=(), name="extraCIDR")


class ClusterNetwork(Wire, frozen=True, kw_only=True):
    """A network inside the cluster, what it was detected from, and the name of that object."""

    cidr: Annotated[str, Meta(max_length=49)]
    source: Source
    name: Annotated[str, Meta(max_length=NAME_MAX)] = ""


class EgressClusterInfoStatus(Wire, frozen=True, kw_only=True):
    """What was detected."""

    networks: Annotated[tuple[ClusterNetwork, ...], Meta(max_length=NETWORKS_MAX)] = ()
    observed_generation: int = 0
    conditions: Annotated[tuple[Condition, ...], Meta(max_length=16)] = ()


class EgressClusterInfo(Wire, frozen=True, kw_only=True):
    """What counts as inside the cluster: traffic to it is never touched."""

    metadata: ObjectMeta
    spec: EgressClusterInfoSpec = EgressClusterInfoSpec()
    status: EgressClusterInfoStatus = EgressClusterInfoStatus()
