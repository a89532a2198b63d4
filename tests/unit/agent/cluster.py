"""A small cluster as the agent's stores see it, and pieces to change it with."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from outgate.agent.holders import NOTHING_SAID, Claims
from outgate.agent.mesh import LocalNode
from outgate.agent.view import Outcome, Snapshot, ViewMaker
from outgate.api.clusterinfo import (
    ClusterNetwork,
    EgressClusterInfo,
    EgressClusterInfoStatus,
)
from outgate.api.core import Namespace, Pod, PodIP, PodSpec, PodStatus
from outgate.api.gateway import (
    EgressAddress,
    EgressGateway,
    EgressGatewaySpec,
    EgressGatewayStatus,
    GatewayNode,
    NodeSelector,
)
from outgate.api.meta import LabelSelector, ObjectMeta
from outgate.api.policy import (
    AppliedTo,
    AssignedEIP,
    ClusterAppliedTo,
    EgressClusterPolicy,
    EgressClusterPolicySpec,
    EgressPolicy,
    EgressPolicySpec,
    PolicyStatus,
)
from outgate.api.tunnel import EgressTunnel, EgressTunnelSpec, EgressTunnelStatus, Underlay
from outgate.api.view import IPAddress

EIP4, EIP6 = "203.0.113.100", "2001:db8:1::100"
ID4, ID6, ID_NODE = 101, 106, 110
LOCAL = LocalNode("node-a", ip_address("192.0.2.1"), None, 0xFF)  # type: ignore[arg-type]
OUTSIDE = ip_address("198.51.100.9")


def keyed(*objects: Any) -> dict[tuple[str, str], Any]:
    return {(one.metadata.namespace, one.metadata.name): one for one in objects}


def pod(name: str = "web", *, namespace: str = "shop", **changes: Any) -> Pod:
    """A running pod on node-a.

    Changes: `ips`, `labels`, `node`, `phase`, `host`, `created`, `deleted`, `uid`.
    """
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=namespace,
            uid=changes.get("uid", ""),
            labels=changes.get("labels", {"app": "web"}),
            creation_timestamp=changes.get("created", "2026-01-01T00:00:00Z"),
            deletion_timestamp=changes.get("deleted"),
        ),
        spec=PodSpec(
            node_name=changes.get("node", "node-a"), host_network=changes.get("host", False)
        ),
        status=PodStatus(
            phase=changes.get("phase", "Running"),
            pod_ips=tuple(PodIP(ip=ip) for ip in changes.get("ips", ("10.244.1.5", "fd00:1::5"))),
        ),
    )


WEB = LabelSelector(match_labels={"app": "web"})
STATUS = PolicyStatus(gateway="egw", eip=AssignedEIP(ipv4=EIP4, ipv6=EIP6))


def policy(name: str = "p", *, namespace: str = "shop", **changes: Any) -> EgressPolicy:
    return EgressPolicy(
        metadata=ObjectMeta(
            name=name,
            namespace=namespace,
            creation_timestamp=changes.get("created", "2026-01-01T00:00:00Z"),
        ),
        spec=EgressPolicySpec(
            applied_to=changes.get("applied_to", AppliedTo(pod_selector=WEB)),
            dest_subnet=changes.get("dest", ()),
            exclude_subnet=changes.get("exclude", ()),
        ),
        status=changes.get("status", STATUS),
    )


def cluster_policy(name: str = "all", **changes: Any) -> EgressClusterPolicy:
    return EgressClusterPolicy(
        metadata=ObjectMeta(name=name, creation_timestamp="2025-01-01T00:00:00Z"),
        spec=EgressClusterPolicySpec(
            applied_to=changes.get("applied_to", ClusterAppliedTo(pod_selector=LabelSelector())),
            dest_subnet=changes.get("dest", ()),
        ),
        status=changes.get("status", STATUS),
    )


def gateway(
    *addresses: tuple[str, int, str],
    name: str = "egw",
    created: str = "2026-01-01T00:00:00Z",
    nodes: Mapping[str, bool] | None = None,
    epoch: int = 0,
    failback: bool = False,
) -> EgressGateway:
    """With status.addresses of (address, id, node), all of that epoch, and these members.

    nodes: which of them are eligible.
    """
    return EgressGateway(
        metadata=ObjectMeta(name=name, uid=f"uid-{name}", creation_timestamp=created),
        spec=EgressGatewaySpec(
            node_selector=NodeSelector(selector=LabelSelector()), failback=failback
        ),
        status=EgressGatewayStatus(
            node_list=tuple(
                GatewayNode(name=each, status="Ready" if eligible else "NotReady")
                for each, eligible in (nodes or {}).items()
            ),
            addresses=tuple(
                EgressAddress(address=a, id=i, node=n, epoch=epoch) for a, i, n in addresses
            ),
        ),
    )


def tunnel(name: str, index: int, **changes: Any) -> EgressTunnel:
    return EgressTunnel(
        metadata=ObjectMeta(name=name),
        spec=EgressTunnelSpec(
            index=index,
            mac=changes.get("mac", f"02:00:00:00:00:{index:02x}"),
            ipv4=changes.get("ipv4", f"198.18.192.{index}"),
            ipv6=changes.get("ipv6", f"fd6f:7574:6761:7465::{index:x}"),
            mark=changes.get("mark", 0),
        ),
        status=EgressTunnelStatus(
            underlay=changes.get("underlay", Underlay(interface="eth0", ipv4=f"192.0.2.{index}"))
        ),
    )


def info(*cidrs: str, pods: Iterable[str] = (), generation: int = 1) -> EgressClusterInfo:
    """With these networks; `pods`: those that pods' addresses are from."""
    found = tuple(ClusterNetwork(cidr=cidr, source="Extra") for cidr in cidrs)
    found += tuple(ClusterNetwork(cidr=cidr, source="NodePodCIDR", name="n") for cidr in pods)
    return EgressClusterInfo(
        metadata=ObjectMeta(name="default"),
        status=EgressClusterInfoStatus(networks=found, observed_generation=generation),
    )


def snapshot(**changes: Any) -> Snapshot:
    """A pod under a policy whose address node-b holds; node-a is this node."""
    base = Snapshot(
        pods=keyed(pod()),
        namespaces=keyed(Namespace(metadata=ObjectMeta(name="shop", labels={"team": "red"}))),
        gateways=keyed(gateway((EIP4, ID4, "node-b"), (EIP6, ID6, "node-b"))),
        policies=keyed(policy()),
        tunnels=keyed(tunnel("node-a", 1), tunnel("node-b", 2, mark=1)),
        cluster_infos=keyed(info("10.244.0.0/16")),
    )
    return replace(base, **changes)


def outcome(
    *, strict_start: bool = False, claims: Claims = NOTHING_SAID, **changes: Any
) -> Outcome:
    maker = ViewMaker(strict_start=strict_start)
    return maker.view(snapshot(**changes), local=LOCAL, claims=claims)


def address(text: str) -> IPAddress:
    return ip_address(text)
