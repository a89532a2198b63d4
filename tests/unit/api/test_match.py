from ipaddress import ip_address

import pytest

from outgate.api.core import Namespace, Pod, PodIP, PodSpec, PodStatus
from outgate.api.gateway import EgressGateway, EgressGatewaySpec, NodeSelector
from outgate.api.match import (
    DEFAULT_GATEWAY_ANNOTATION,
    cluster_default,
    gateway_in_force,
    matchable,
    matches,
    networks,
    pod_addresses,
)
from outgate.api.meta import LabelSelector, ObjectMeta, Requirement
from outgate.api.policy import (
    AppliedTo,
    ClusterAppliedTo,
    EgressClusterPolicy,
    EgressClusterPolicySpec,
    EgressPolicy,
    EgressPolicySpec,
)

WEB = LabelSelector(match_labels={"app": "web"})
NOT_DB = LabelSelector(
    match_expressions=(Requirement(key="app", operator="NotIn", values=("db",)),)
)


def pod(
    *,
    namespace: str = "shop",
    labels: dict[str, str] | None = None,
    phase: str = "Running",
    host_network: bool = False,
    ips: tuple[str, ...] = ("192.0.2.10", "2001:db8::10"),
) -> Pod:
    return Pod(
        metadata=ObjectMeta(name="p", namespace=namespace, labels=labels or {"app": "web"}),
        spec=PodSpec(node_name="node-a", host_network=host_network),
        status=PodStatus(phase=phase, pod_ips=tuple(PodIP(ip=ip) for ip in ips)),
    )


def policy(applied_to: AppliedTo, *, gateway: str = "") -> EgressPolicy:
    return EgressPolicy(
        metadata=ObjectMeta(name="web", namespace="shop"),
        spec=EgressPolicySpec(applied_to=applied_to, egress_gateway_name=gateway),
    )


def cluster_policy(applied_to: ClusterAppliedTo, *, gateway: str = "") -> EgressClusterPolicy:
    return EgressClusterPolicy(
        metadata=ObjectMeta(name="web"),
        spec=EgressClusterPolicySpec(applied_to=applied_to, egress_gateway_name=gateway),
    )


def namespace(name: str = "shop", **annotations: str) -> Namespace:
    return Namespace(
        metadata=ObjectMeta(name=name, labels={"team": "red"}, annotations=dict(annotations))
    )


def gateway(name: str, *, created: str, default: bool) -> EgressGateway:
    return EgressGateway(
        metadata=ObjectMeta(name=name, creation_timestamp=created),
        spec=EgressGatewaySpec(
            node_selector=NodeSelector(selector=LabelSelector()), cluster_default=default
        ),
    )


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (pod(), True),
        (pod(phase="Pending"), False),
        (pod(phase="Succeeded"), False),
        (pod(phase="Failed"), False),
        (pod(host_network=True), False),
    ],
)
def test_only_running_pods_with_their_own_network_are_matchable(one: Pod, expected: bool) -> None:
    assert matchable(one) is expected
    assert matches(policy(AppliedTo(pod_selector=LabelSelector())), one) is expected


@pytest.mark.parametrize(
    ("applied_to", "expected"),
    [
        (AppliedTo(pod_selector=WEB), True),
        (AppliedTo(pod_selector=LabelSelector()), True),
        (AppliedTo(pod_selector=LabelSelector(match_labels={"app": "db"})), False),
        (AppliedTo(pod_selectors=(LabelSelector(match_labels={"app": "db"}), NOT_DB)), True),
        (AppliedTo(pod_selectors=(LabelSelector(match_labels={"app": "db"}),)), False),
        (AppliedTo(pod_subnet=("192.0.2.0/28",)), True),
        (AppliedTo(pod_subnet=("192.0.2.10",)), True),
        (AppliedTo(pod_subnet=("2001:db8::/64",)), True),
        (AppliedTo(pod_subnet=("198.51.100.0/24",)), False),
        (AppliedTo(pod_subnet=("not-a-subnet", "192.0.2.0/24")), True),
        (AppliedTo(pod_subnet=("not-a-subnet",)), False),
        (AppliedTo(), False),
    ],
)
def test_policy_takes_the_pods_that_one_of_its_selectors_takes(
    applied_to: AppliedTo, expected: bool
) -> None:
    assert matches(policy(applied_to), pod()) is expected


def test_namespaced_policy_never_takes_a_pod_of_another_namespace() -> None:
    assert not matches(policy(AppliedTo(pod_selector=LabelSelector())), pod(namespace="bank"))


@pytest.mark.parametrize(
    ("selector", "known", "expected"),
    [
        (None, True, True),
        (None, False, True),
        (LabelSelector(match_labels={"team": "red"}), True, True),
        (LabelSelector(match_labels={"team": "blue"}), True, False),
        (LabelSelector(), True, True),
        (LabelSelector(match_labels={"team": "red"}), False, False),
    ],
)
def test_cluster_policy_looks_at_the_selected_namespaces(
    selector: LabelSelector | None, known: bool, expected: bool
) -> None:
    wide = cluster_policy(ClusterAppliedTo(pod_selector=WEB, namespace_selector=selector))
    assert matches(wide, pod(), namespace=namespace() if known else None) is expected


def test_malformed_addresses_of_a_pod_are_left_out() -> None:
    assert pod_addresses(pod(ips=("192.0.2.10", "nonsense", ""))) == (ip_address("192.0.2.10"),)


def test_host_bits_of_a_subnet_are_ignored() -> None:
    assert [str(network) for network in networks(("192.0.2.9/24",))] == ["192.0.2.0/24"]


def test_oldest_cluster_default_wins_and_names_break_ties() -> None:
    young = gateway("a", created="2026-01-02T00:00:00Z", default=True)
    old = gateway("z", created="2026-01-01T00:00:00Z", default=True)
    twin = gateway("y", created="2026-01-01T00:00:00Z", default=True)
    plain = gateway("b", created="2025-01-01T00:00:00Z", default=False)
    assert cluster_default([young, old, plain]) == "z"
    assert cluster_default([old, young, twin]) == "y"
    assert cluster_default([plain]) == ""


@pytest.mark.parametrize(
    ("own", "annotation", "expected"),
    [("own", "ns", "own"), ("", "ns", "ns"), ("", "", "cluster")],
)
def test_gateway_is_the_policys_else_the_namespaces_else_the_clusters(
    own: str, annotation: str, expected: str
) -> None:
    home = namespace(**({DEFAULT_GATEWAY_ANNOTATION: annotation} if annotation else {}))
    wish = policy(AppliedTo(pod_selector=WEB), gateway=own)
    assert gateway_in_force(wish, namespace=home, default="cluster") == expected


def test_cluster_policy_ignores_the_annotation_of_a_namespace() -> None:
    home = namespace(**{DEFAULT_GATEWAY_ANNOTATION: "ns"})
    wish = cluster_policy(ClusterAppliedTo(pod_selector=WEB))
    assert gateway_in_force(wish, namespace=home, default="cluster") == "cluster"
