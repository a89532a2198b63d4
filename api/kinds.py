"""The kinds that Outgate reads and writes: their place in the API, and their typed value."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from outgate.api.clusterinfo import EgressClusterInfo
from outgate.api.core import CalicoIPPool, ConfigMap, Lease, Namespace, Node, Pod, ServiceCIDR
from outgate.api.endpoint import EgressClusterEndpointSlice, EgressEndpointSlice
from outgate.api.gateway import EgressGateway
from outgate.api.meta import GROUP, VERSION, Wire
from outgate.api.policy import EgressClusterPolicy, EgressPolicy
from outgate.api.tunnel import EgressTunnel

W = TypeVar("W", bound=Wire)
W_co = TypeVar("W_co", bound=Wire, covariant=True)


@dataclass(frozen=True, slots=True)
class Kind(Generic[W_co]):
    """Where a kind lives in the API (`group` is empty for the core group), and its value type.

    `Kind[Pod]` is a `Kind[Wire]`: where any kind will do, say the latter.
    """

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool
    type: type[W_co]

    @property
    def api_version(self) -> str:
        """`apiVersion` of an object of this kind."""
        return f"{self.group}/{self.version}" if self.group else self.version


def _ours(plural: str, type_: type[W], *, namespaced: bool) -> Kind[W]:
    return Kind(GROUP, VERSION, plural, type_.__name__, namespaced, type_)


EGRESS_GATEWAY = _ours("egressgateways", EgressGateway, namespaced=False)
EGRESS_POLICY = _ours("egresspolicies", EgressPolicy, namespaced=True)
EGRESS_CLUSTER_POLICY = _ours("egressclusterpolicies", EgressClusterPolicy, namespaced=False)
EGRESS_TUNNEL = _ours("egresstunnels", EgressTunnel, namespaced=False)
EGRESS_ENDPOINT_SLICE = _ours("egressendpointslices", EgressEndpointSlice, namespaced=True)
EGRESS_CLUSTER_ENDPOINT_SLICE = _ours(
    "egressclusterendpointslices", EgressClusterEndpointSlice, namespaced=False
)
EGRESS_CLUSTER_INFO = _ours("egressclusterinfos", EgressClusterInfo, namespaced=False)

OURS: tuple[Kind[Wire], ...] = (
    EGRESS_GATEWAY,
    EGRESS_POLICY,
    EGRESS_CLUSTER_POLICY,
    EGRESS_TUNNEL,
    EGRESS_ENDPOINT_SLICE,
    EGRESS_CLUSTER_ENDPOINT_SLICE,
    EGRESS_CLUSTER_INFO,
)

POD = Kind("", "v1", "pods", "Pod", True, Pod)
NAMESPACE = Kind("", "v1", "namespaces", "Namespace", False, Namespace)
NODE = Kind("", "v1", "nodes", "Node", False, Node)
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap", True, ConfigMap)
SERVICE_CIDR = Kind("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", False, ServiceCIDR)
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease", True, Lease)
CALICO_IP_POOL = Kind("crd.projectcalico.org", "v1", "ippools", "IPPool", False, CalicoIPPool)
