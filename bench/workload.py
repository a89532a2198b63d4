"""A node's share of a cluster, as large as is asked for: API objects, the same on every run.

Pods are spread over as many applications as there are pods; policy i selects the application
`i % pods` and one destination of its own. So every policy is about a pod of this node, and none
about two. Every policy leaves with the same address, of both families, held by another node.
"""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from unit.agent.cluster import keyed, pod, policy, snapshot

from outgate.agent.view import Snapshot
from outgate.api.core import Pod
from outgate.api.meta import LabelSelector
from outgate.api.policy import AppliedTo, EgressPolicy

PODS = 250
"""On one node: more than Kubernetes means a node to have (110), as many as a /24 has room for."""

_POD4 = IPv4Address("10.244.1.0")
_POD6 = IPv6Address("2001:db8:a1::")
_DESTINATION4 = IPv4Address("198.19.0.0")  # RFC 2544, half of it: the tunnels are in the other
_DESTINATION6 = IPv6Address("2001:db8:f::")


def pod_address4(number: int) -> IPv4Address:
    """Of the pod of that number, from 0."""
    return _POD4 + 1 + number


def destination4(number: int) -> IPv4Address:
    """The one that the policy of that number is about."""
    return _DESTINATION4 + number


def some_pod(number: int) -> Pod:
    """The pod of that number; from PODS on they share the applications of the first ones."""
    addresses = (str(pod_address4(number)), str(_POD6 + 1 + number))
    return pod(f"pod-{number:04}", ips=addresses, labels={"app": f"app-{number % PODS}"})


def some_policy(number: int) -> EgressPolicy:
    """The policy of that number."""
    selector = LabelSelector(match_labels={"app": f"app-{number % PODS}"})
    return policy(
        f"policy-{number:05}",
        applied_to=AppliedTo(pod_selector=selector),
        dest=(str(destination4(number)), str(_DESTINATION6 + number)),
    )


def workload(*, policies: int, pods: int = PODS) -> Snapshot:
    """What the stores hold."""
    return snapshot(
        pods=keyed(*map(some_pod, range(pods))), policies=keyed(*map(some_policy, range(policies)))
    )


def with_pod(before: Snapshot, number: int) -> Snapshot:
    """One pod more, under the policies that another one is under already."""
    return replace(before, pods={**before.pods, **keyed(some_pod(number))})


def with_policy(before: Snapshot, number: int) -> Snapshot:
    """One policy more, about one pod."""
    return replace(before, policies={**before.policies, **keyed(some_policy(number))})
