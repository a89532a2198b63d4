"""The writes that bring tunnels, slices and the cluster info to what was decided. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from outgate.api.clusterinfo import (
    CLUSTER_INFO_NAME,
    ClusterNetwork,
    EgressClusterInfo,
    EgressClusterInfoStatus,
)
from outgate.api.core import Node, Pod
from outgate.api.endpoint import EgressClusterEndpointSlice
from outgate.api.kinds import (
    EGRESS_CLUSTER_ENDPOINT_SLICE,
    EGRESS_CLUSTER_INFO,
    EGRESS_ENDPOINT_SLICE,
    EGRESS_TUNNEL,
    NODE,
    Kind,
)
from outgate.api.meta import OwnerReference
from outgate.api.policy import AnyPolicy
from outgate.api.tunnel import EgressTunnel
from outgate.controller import slices
from outgate.controller.model import Apply, Delete, Key, Write
from outgate.controller.status import Finding, Moment, conditions
from outgate.controller.tunnels import Mesh


def tunnel_writes(
    mesh: Mesh, *, nodes: Mapping[Key, Node], tunnels: Mapping[Key, EgressTunnel]
) -> list[Write]:
    """Tunnels that are missing, or are to have another spec or owner."""
    writes: list[Write] = []
    for name, spec in sorted(mesh.specs.items()):
        node = nodes["", name]
        owner = OwnerReference(
            api_version=NODE.api_version, kind=NODE.name, name=name, uid=node.metadata.uid
        )
        known = tunnels.get(("", name))
        if (
            known is None
            or known.spec != spec
            or all(ref.uid != owner.uid for ref in known.metadata.owner_references)
        ):
            body = {"metadata": {"ownerReferences": [owner]}, "spec": spec}
            writes.append(Apply(EGRESS_TUNNEL, name, body))
    return writes


def info_writes(
    info: EgressClusterInfo | None,
    *,
    found: tuple[tuple[ClusterNetwork, ...], tuple[str, ...]],
    now: Moment,
) -> list[Write]:
    """The cluster info's creation (with users' defaults), or its status."""
    if info is None:
        return [Apply(EGRESS_CLUSTER_INFO, CLUSTER_INFO_NAME, {"spec": {}})]
    networks, problems = found
    generation = info.metadata.generation
    status = EgressClusterInfoStatus(
        networks=networks,
        observed_generation=generation,
        conditions=conditions(
            [_detected(info, networks, problems)],
            before=info.status.conditions,
            generation=generation,
            now=now,
        ),
    )
    if status == info.status:
        return []
    return [Apply(EGRESS_CLUSTER_INFO, CLUSTER_INFO_NAME, {"status": status}, subresource="status")]


def slice_writes(
    policy: AnyPolicy, *, pods: Sequence[Pod], existing: Sequence[slices.AnySlice]
) -> list[Write]:
    """The slices of one policy: those that differ, and those that are to go."""
    endpoints = [slices.endpoint_of(pod) for pod in pods]
    if slices.settled(policy, endpoints=endpoints, existing=existing):
        return []
    have = {slice_.metadata.name: slice_ for slice_ in existing}
    wanted = slices.slices_of(policy, endpoints=endpoints, existing=existing)
    writes: list[Write] = []
    for slice_ in wanted:
        known = have.pop(slice_.metadata.name, None)
        if known is None or not slices.same(known, slice_):
            meta = slice_.metadata
            body = {
                "metadata": {"labels": meta.labels, "ownerReferences": meta.owner_references},
                "endpoints": slice_.endpoints,
            }
            writes.append(Apply(_kind(slice_), meta.name, body, meta.namespace))
    return writes + [_deletion(slice_) for slice_ in have.values()]


def orphan_writes(
    owned: Mapping[str, Iterable[slices.AnySlice]], *, uids: Iterable[str]
) -> list[Write]:
    """Deletions of slices whose policy is gone; the garbage collector may be faster."""
    gone = owned.keys() - set(uids)
    return [_deletion(slice_) for uid in sorted(gone) for slice_ in owned[uid]]


def _deletion(slice_: slices.AnySlice) -> Delete:
    return Delete(_kind(slice_), slice_)


def _kind(slice_: slices.AnySlice) -> Kind[slices.AnySlice]:
    if isinstance(slice_, EgressClusterEndpointSlice):
        return EGRESS_CLUSTER_ENDPOINT_SLICE
    return EGRESS_ENDPOINT_SLICE


def _detected(
    info: EgressClusterInfo, networks: Iterable[ClusterNetwork], problems: Sequence[str]
) -> Finding:
    cluster_ips = any(network.source in ("ServiceCIDR", "Extra") for network in networks)
    if info.spec.auto_detect.cluster_ip and not cluster_ips:
        return Finding(
            "Ready",
            False,
            "NoClusterIPRange",
            "no ServiceCIDR object tells the range of ClusterIPs: set the controller's service "
            "CIDRs (chart: controller.serviceCIDRs), or name it in spec.extraCIDR",
        )
    if problems:
        return Finding("Ready", False, "Unreadable", "; ".join(problems))
    return Finding("Ready", True, "Detected")
