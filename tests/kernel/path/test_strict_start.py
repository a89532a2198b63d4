"""With strictStart, whoever is not known yet gets nothing out; everybody else is as ever."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network

import pytest
from kernel.cluster import Cluster, Wish, egress
from kernel.harness import Topology, node_address, pod_address
from kernel.traffic import Capture, Flow, Outside, is_silent, seen_as

from outgate.api.view import DataPathSettings, IPAddress
from outgate.rules.diff import diff
from outgate.rules.plan import plan

pytestmark = pytest.mark.kernel

STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
POD_NETWORKS = frozenset(map(ip_network, ("10.244.0.0/16", "2001:db8:a0::/44")))
VERSIONS = (4, 6)
ON_ANY_NODE = pytest.mark.parametrize("name", ["worker", "first"])


@pytest.fixture
def cluster(topology: Topology) -> Iterator[Cluster]:
    made = Cluster(topology, DataPathSettings(strict_start=True))
    made.program(Wish())
    with Outside(topology.outside):
        yield made


def know(cluster: Cluster, name: str, *, known: bool, matched: bool) -> None:
    """What the node's agent knows of its one pod."""
    here = frozenset(pod_address(name, version) for version in VERSIONS)
    view = cluster.view(name, cluster.wish)
    view = replace(
        view,
        pods=view.pods if matched else {},
        known=here if known else frozenset(),
        pod_networks=POD_NETWORKS,
    )
    nft = cluster.nft[name]
    nft.apply(diff(nft.observe(), plan(view, cluster.settings).ruleset))


def sources(capture: Capture) -> set[IPAddress]:
    transport = (socket.IPPROTO_TCP, socket.IPPROTO_UDP)
    return {packet.source for packet in capture.packets() if packet.protocol in transport}


@ON_ANY_NODE
@pytest.mark.parametrize("version", VERSIONS)
def test_an_unknown_pod_gets_nothing_out_and_that_is_counted(
    cluster: Cluster, name: str, version: int
) -> None:
    know(cluster, name, known=False, matched=False)
    pod = cluster.topology.pods[name]
    with Capture(cluster.topology.outside) as capture:
        assert is_silent(pod, version=version)
        assert is_silent(pod, version=version, kind=DATAGRAM)
        assert sources(capture) == set()

    assert cluster.count(name, "unclassified") >= 2


@pytest.mark.parametrize("version", VERSIONS)
def test_without_strict_start_an_unknown_pods_packets_leave_with_the_nodes_address(
    topology: Topology, version: int
) -> None:
    cluster = Cluster(topology, DataPathSettings())
    cluster.program(Wish())
    know(cluster, "worker", known=False, matched=False)
    with Outside(topology.outside):
        assert seen_as(topology.pods["worker"], version=version) == node_address("worker", version)


@ON_ANY_NODE
def test_an_unknown_pod_reaches_all_that_is_inside(cluster: Cluster, name: str) -> None:
    know(cluster, name, known=False, matched=False)
    pod = cluster.topology.pods[name]

    for version in VERSIONS:
        for node in (name, "second"):
            pod.run(f"ping -{version} -c1 -W2 {node_address(node, version)}")
    assert cluster.count(name, "unclassified") == 0


@ON_ANY_NODE
def test_a_known_pod_without_a_policy_leaves_as_ever(cluster: Cluster, name: str) -> None:
    know(cluster, name, known=True, matched=False)

    for version in VERSIONS:
        for kind in (STREAM, DATAGRAM):
            seen = seen_as(cluster.topology.pods[name], version=version, kind=kind)
            assert seen == node_address(name, version)
    assert cluster.count(name, "unclassified") == 0


@ON_ANY_NODE
def test_a_known_pod_under_a_policy_leaves_with_its_egress_address(
    cluster: Cluster, name: str
) -> None:
    know(cluster, name, known=True, matched=True)

    for version in VERSIONS:
        for kind in (STREAM, DATAGRAM):
            seen = seen_as(cluster.topology.pods[name], version=version, kind=kind)
            assert seen == egress(version)


@pytest.mark.parametrize("matched", [True, False])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_flow_that_was_dropped_goes_through_once_the_pod_is_known(
    cluster: Cluster, version: int, matched: bool
) -> None:
    know(cluster, "worker", known=False, matched=False)
    expected = egress(version) if matched else node_address("worker", version)
    with (
        Capture(cluster.topology.outside) as capture,
        Flow(cluster.topology.pods["worker"], version=version, kind=DATAGRAM) as flow,
    ):
        flow.socket.send(b"too early")
        know(cluster, "worker", known=True, matched=matched)
        assert flow.seen_as() == expected
        assert sources(capture) == {expected}


def test_what_begins_outside_is_answered_by_an_unknown_pod(cluster: Cluster) -> None:
    know(cluster, "worker", known=False, matched=False)
    outside, pod = cluster.topology.outside, cluster.topology.pods["worker"]
    for version in VERSIONS:
        network = ip_network(
            f"{pod_address('worker', version)}/{24 if version == 4 else 64}", False
        )
        outside.ip(f"route add {network} via {node_address('worker', version)}")

    with Outside(pod):
        for version in VERSIONS:
            for kind in (STREAM, DATAGRAM):
                to = pod_address("worker", version)
                assert seen_as(outside, version=version, kind=kind, to=to) != to


def test_a_running_flow_outlives_the_knowledge_of_its_pod(cluster: Cluster) -> None:
    know(cluster, "worker", known=True, matched=False)
    with Flow(cluster.topology.pods["worker"]) as flow:
        assert flow.seen_as() == node_address("worker", 4)
        know(cluster, "worker", known=False, matched=False)
        assert flow.seen_as() == node_address("worker", 4)
    assert is_silent(cluster.topology.pods["worker"])


def test_who_is_from_no_pod_network_is_not_the_guards_business(cluster: Cluster) -> None:
    know(cluster, "worker", known=False, matched=False)

    assert seen_as(cluster.topology.nodes["worker"]) == node_address("worker", 4)
