"""EgressClusterInfo: what counts as inside the cluster, and how that was found out."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from outgate.api.cel import Rule, checked, no_duplicates, say
from outgate.api.meta import NAME_MAX, Conditions, ObjectMeta, Wire
from outgate.api.netrules import network

CLUSTER_INFO_NAME = "default"
"""The one EgressClusterInfo object; any other name is refused."""

NETWORKS_MAX = 16384

Source = Literal["NodePodCIDR", "NodeAddress", "ServiceCIDR", "Flannel", "Calico", "Extra"]

POD_SOURCES: frozenset[Source] = frozenset({"NodePodCIDR", "Flannel", "Calico"})
"""Those that say where pods' addresses are from."""


class AutoDetect(Wire, frozen=True, kw_only=True):
    """Which sources are asked."""

    pod_cidr: Annotated[
        bool, Meta(description="Pod networks, from the nodes, Flannel and Calico.")
    ] = msgspec.field(default=True, name="podCIDR")
    node_ip: Annotated[bool, Meta(description="Addresses of the nodes.")] = msgspec.field(
        default=True, name="nodeIP"
    )
    cluster_ip: Annotated[bool, Meta(description="The ranges of ClusterIPs.")] = msgspec.field(
        default=True, name="clusterIP"
    )


class EgressClusterInfoSpec(Wire, frozen=True, kw_only=True):
    """What to detect, and what to count as inside besides."""

    auto_detect: AutoDetect = AutoDetect()
    extra_cidr: Annotated[
        tuple[Annotated[str, Meta(max_length=49, extra_json_schema=checked(*network()))], ...],
        Meta(
            max_length=256,
            description="Networks to count as inside besides: CIDRs or single addresses.",
            extra_json_schema=checked(no_duplicates("network")),
        ),
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
    conditions: Conditions = ()


class EgressClusterInfo(Wire, frozen=True, kw_only=True):
    """What counts as inside the cluster: traffic to it is never touched."""

    metadata: ObjectMeta
    spec: EgressClusterInfoSpec = EgressClusterInfoSpec()
    status: EgressClusterInfoStatus = EgressClusterInfoStatus()

    RULES = (
        Rule(
            f"self.metadata.name == '{CLUSTER_INFO_NAME}'",
            f"there is one cluster info, and it is named {CLUSTER_INFO_NAME}",
            say(
                "there is one cluster info for the cluster: name it "
                f"{CLUSTER_INFO_NAME}, not {{self.metadata.name}}"
            ),
        ),
    )
