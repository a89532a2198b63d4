"""The Kubernetes objects that Outgate reads, cut down to the fields that it needs."""

import msgspec

from outgate.api.meta import ObjectMeta, Wire

DRAINED_ANNOTATION = "outgate.dev/drained"
"""On a Node: it is to have no addresses, as if it were cordoned; pods are welcome."""


class PodIP(Wire, frozen=True, kw_only=True):
    """One address of a pod."""

    ip: str = ""


class PodSpec(Wire, frozen=True, kw_only=True):
    """Where a pod runs, and whether it shares the node's network."""

    node_name: str = ""
    host_network: bool = False


class PodStatus(Wire, frozen=True, kw_only=True):
    """A pod's phase and addresses."""

    phase: str = ""
    pod_ips: tuple[PodIP, ...] = msgspec.field(default=(), name="podIPs")


class Pod(Wire, frozen=True, kw_only=True):
    """A pod."""

    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class Namespace(Wire, frozen=True, kw_only=True):
    """A namespace: its labels are selected by cluster policies, its annotations set defaults."""

    metadata: ObjectMeta


class NodeSpec(Wire, frozen=True, kw_only=True):
    """Pod CIDRs and the cordon."""

    pod_cidrs: tuple[str, ...] = msgspec.field(default=(), name="podCIDRs")
    unschedulable: bool = False


class NodeAddress(Wire, frozen=True, kw_only=True):
    """One address of a node; `type` as Kubernetes has it (InternalIP, ExternalIP, Hostname…)."""

    type: str
    address: str


class NodeCondition(Wire, frozen=True, kw_only=True):
    """One condition of a node."""

    type: str
    status: str


class NodeStatus(Wire, frozen=True, kw_only=True):
    """Addresses and readiness."""

    addresses: tuple[NodeAddress, ...] = ()
    conditions: tuple[NodeCondition, ...] = ()


class Node(Wire, frozen=True, kw_only=True):
    """A node of the cluster."""

    metadata: ObjectMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class ServiceCIDRSpec(Wire, frozen=True, kw_only=True):
    """CIDRs of ClusterIPs."""

    cidrs: tuple[str, ...] = ()


class ServiceCIDR(Wire, frozen=True, kw_only=True):
    """A range that ClusterIPs come from (networking.k8s.io/v1)."""

    metadata: ObjectMeta
    spec: ServiceCIDRSpec = ServiceCIDRSpec()


class ConfigMap(Wire, frozen=True, kw_only=True):
    """A config map (Flannel keeps its network in one)."""

    metadata: ObjectMeta
    data: dict[str, str] = {}


class CalicoIPPoolSpec(Wire, frozen=True, kw_only=True):
    """The CIDR of a Calico pool."""

    cidr: str = ""


class CalicoIPPool(Wire, frozen=True, kw_only=True):
    """crd.projectcalico.org/v1 IPPool."""

    metadata: ObjectMeta
    spec: CalicoIPPoolSpec = CalicoIPPoolSpec()


class LeaseSpec(Wire, frozen=True, kw_only=True):
    """coordination.k8s.io/v1 Lease: who leads, until when (seconds after renewTime)."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(Wire, frozen=True, kw_only=True):
    """A lease."""

    metadata: ObjectMeta
    spec: LeaseSpec = LeaseSpec()
