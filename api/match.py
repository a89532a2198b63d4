"""Which pods a policy is about, and which gateway is in force for it.

Controller and agent must give the same answers, so they are given here, once. Malformed addresses
and subnets in an object match nothing: they never raise, and never make a rule wider.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address, ip_network

from outgate.api.core import Namespace, Pod
from outgate.api.gateway import EgressGateway
from outgate.api.policy import AnyPolicy, AppliedTo, EgressClusterPolicy
from outgate.api.selector import selects
from outgate.api.view import IPAddress, IPNetwork

DEFAULT_GATEWAY_ANNOTATION = "outgate.dev/default-gateway"
"""On a namespace: the gateway of its policies that name none."""

_ENDED = ("Succeeded", "Failed")


def matchable(pod: Pod) -> bool:
    """Whether policies are about this pod at all: it runs, and has a network of its own."""
    return pod.status.phase == "Running" and not pod.spec.host_network


def networked(pod: Pod) -> bool:
    """Whether the pod has, or is about to have, addresses of its own: from before it runs, when
    its init containers do, until it has ended and another pod may get them."""
    return pod.status.phase not in _ENDED and not pod.spec.host_network


def pod_addresses(pod: Pod) -> tuple[IPAddress, ...]:
    """The pod's addresses, in the pod's order; malformed ones are left out."""
    parsed = (_address(entry.ip) for entry in pod.status.pod_ips)
    return tuple(address for address in parsed if address is not None)


def matches(policy: AnyPolicy, pod: Pod, *, namespace: Namespace | None = None) -> bool:
    """Whether the policy is about the pod; `namespace` is the pod's, if it is known.

    An unknown namespace has no labels, so a namespaceSelector does not select it.
    """
    return (
        matchable(pod)
        and in_scope(policy, pod.metadata.namespace, namespace=namespace)
        and applies(policy.spec.applied_to, pod)
    )


def in_scope(policy: AnyPolicy, name: str, *, namespace: Namespace | None = None) -> bool:
    """Whether the policy looks at pods of the namespace called `name` at all."""
    if not isinstance(policy, EgressClusterPolicy):
        return policy.metadata.namespace == name
    selector = policy.spec.applied_to.namespace_selector
    if selector is None:
        return True
    return namespace is not None and selects(selector, namespace.metadata.labels)


def applies(applied_to: AppliedTo, pod: Pod) -> bool:
    """Whether one of `podSelector`, `podSelectors`, `podSubnet` takes the pod; none takes none."""
    labels = pod.metadata.labels
    if applied_to.pod_selector is not None and selects(applied_to.pod_selector, labels):
        return True
    if any(selects(selector, labels) for selector in applied_to.pod_selectors):
        return True
    if not applied_to.pod_subnet:
        return False
    addresses = pod_addresses(pod)
    return any(
        address in network for network in networks(applied_to.pod_subnet) for address in addresses
    )


@lru_cache(maxsize=4096)
def networks(subnets: tuple[str, ...]) -> tuple[IPNetwork, ...]:
    """CIDRs and single addresses of either family as networks; malformed ones are left out."""
    found: list[IPNetwork] = []
    for subnet in subnets:
        try:
            found.append(ip_network(subnet, strict=False))
        except ValueError:
            continue
    return tuple(found)


def cluster_default(gateways: Iterable[EgressGateway]) -> str:
    """Name of the cluster's default gateway: the oldest that says so, or "" if none does."""
    named = [gateway.metadata for gateway in gateways if gateway.spec.cluster_default]
    oldest = min(named, key=lambda meta: (meta.creation_timestamp, meta.name), default=None)
    return oldest.name if oldest is not None else ""


def gateway_in_force(policy: AnyPolicy, *, namespace: Namespace | None, default: str) -> str:
    """Name of the gateway that the policy leaves by, or ""; whether it exists is not looked at.

    The policy's own word, else (namespaced policies only) its namespace's annotation, else
    `default`, the cluster's (`cluster_default`).
    """
    if policy.spec.egress_gateway_name:
        return policy.spec.egress_gateway_name
    if not isinstance(policy, EgressClusterPolicy) and namespace is not None:
        return namespace.metadata.annotations.get(DEFAULT_GATEWAY_ANNOTATION) or default
    return default


@lru_cache(maxsize=65536)
def _address(text: str) -> IPAddress | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
