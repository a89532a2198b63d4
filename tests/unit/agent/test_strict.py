"""What strictStart has the view know: all pods that may speak, and the networks they are from."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from unit.agent.cluster import info, keyed, outcome, pod

from outgate.agent.view import NO_POD_NETWORKS
from outgate.api.view import NodeView

POD4, POD6 = ip_address("10.244.1.5"), ip_address("fd00:1::5")
INFO = keyed(info("192.0.2.0/24", pods=("10.244.0.0/24", "10.244.1.0/24", "fd00:1::/64")))


def strict(**changes: Any) -> NodeView:
    made = outcome(strict_start=True, **{"cluster_infos": INFO, **changes})
    assert made.view is not None
    assert made.problems == ()
    return made.view


def test_pod_networks_are_those_whose_source_says_so() -> None:
    made = strict()
    assert made.pod_networks == {ip_network("10.244.0.0/23"), ip_network("fd00:1::/64")}
    assert made.inside == made.pod_networks | {ip_network("192.0.2.0/24")}


def test_pods_are_known_whether_a_policy_is_about_them_or_not() -> None:
    other = pod("db", labels={"app": "db"}, ips=("10.244.1.6",))
    made = strict(pods=keyed(pod(), other))
    assert made.known == {POD4, POD6, ip_address("10.244.1.6")}
    assert set(made.pods) == {POD4, POD6}


@pytest.mark.parametrize("phase", ["Pending", "Unknown"])
def test_a_pod_that_does_not_run_yet_has_its_policy_already(phase: str) -> None:
    made = strict(pods=keyed(pod(phase=phase)))
    assert made.pods == {POD4: ("shop/p",), POD6: ("shop/p",)}
    assert made.known == {POD4, POD6}


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_whoever_gets_the_address_of_a_pod_that_has_ended_is_unknown(phase: str) -> None:
    made = strict(pods=keyed(pod(phase=phase)))
    assert (made.known, made.pods) == (frozenset(), {})


def test_pods_of_other_nodes_and_on_the_nodes_own_network_are_not_known() -> None:
    there = pod("there", node="node-b", ips=("10.244.2.5",))
    host = pod("host", host=True, ips=("192.0.2.1",))
    assert strict(pods=keyed(there, host)).known == frozenset()


def test_without_strict_start_nothing_of_it_is_in_the_view() -> None:
    made = outcome(cluster_infos=INFO).view
    assert made is not None
    assert (made.known, made.pod_networks) == (frozenset(), frozenset())


def test_a_cluster_whose_pod_networks_nobody_knows_is_told_so() -> None:
    made = outcome(strict_start=True, cluster_infos=keyed(info("10.244.0.0/16")))
    assert made.problems == (NO_POD_NETWORKS,)
