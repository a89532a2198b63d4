"""Pods leave with their egress address, by the node that holds it, or are left alone."""

import re
import socket
from dataclasses import replace
from ipaddress import ip_network

import pytest
from kernel.cluster import Cluster, Wish, egress
from kernel.harness import OUTSIDE4, OUTSIDE6, node_address
from kernel.traffic import Capture, seen_as

from outgate.api.view import DataPathSettings

pytestmark = pytest.mark.kernel

STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
OUTSIDE_NETWORKS = frozenset({ip_network("203.0.113.0/24"), ip_network("2001:db8:f::/64")})


@pytest.mark.parametrize("node", ["worker", "first", "second"])
def test_a_pod_of_any_node_is_seen_with_the_egress_address(cluster: Cluster, node: str) -> None:
    pod = cluster.topology.pods[node]

    for version in (4, 6):
        for kind in (STREAM, DATAGRAM):
            assert seen_as(pod, version=version, kind=kind) == egress(version)


@pytest.mark.parametrize("node", ["worker", "first"])
def test_a_ping_is_seen_with_the_egress_address_and_answered(cluster: Cluster, node: str) -> None:
    with Capture(cluster.topology.outside) as capture:
        cluster.topology.pods[node].run(f"ping -c1 -W2 {OUTSIDE4}")
        assert capture.wait_for(socket.IPPROTO_ICMP).source == egress(4)
    with Capture(cluster.topology.outside, everything=True) as capture:
        cluster.topology.pods[node].run(f"ping -6 -c1 -W2 {OUTSIDE6}")
        assert egress(6) in {packet.source for packet in capture.packets()}


def test_a_destination_inside_the_cluster_is_left_alone(cluster: Cluster) -> None:
    cluster.program(Wish(inside=OUTSIDE_NETWORKS))

    for version in (4, 6):
        seen = seen_as(cluster.topology.pods["worker"], version=version)
        assert seen == node_address("worker", version)


def test_an_excluded_destination_is_left_alone(cluster: Cluster) -> None:
    cluster.program(Wish(exclusions=OUTSIDE_NETWORKS))

    for version in (4, 6):
        seen = seen_as(cluster.topology.pods["worker"], version=version)
        assert seen == node_address("worker", version)


def test_only_the_named_destinations_are_taken(cluster: Cluster) -> None:
    cluster.program(Wish(destinations=frozenset({ip_network("198.18.0.0/24")})))

    for version in (4, 6):
        seen = seen_as(cluster.topology.pods["worker"], version=version)
        assert seen == node_address("worker", version)


def test_a_destination_of_one_address_is_taken(cluster: Cluster) -> None:
    cluster.program(
        Wish(destinations=frozenset({ip_network(str(OUTSIDE4)), ip_network(str(OUTSIDE6))}))
    )

    for version in (4, 6):
        assert seen_as(cluster.topology.pods["worker"], version=version) == egress(version)


def test_a_flow_that_is_left_alone_keeps_no_conntrack_mark(cluster: Cluster) -> None:
    cluster.program(Wish(exclusions=OUTSIDE_NETWORKS))
    seen_as(cluster.topology.pods["worker"])

    listed = cluster.topology.nodes["worker"].run("conntrack -L -p tcp")

    assert set(re.findall(r"mark=\d+", listed)) == {"mark=0"}


@pytest.mark.parametrize("version", [4, 6])
def test_an_iptables_masquerade_of_the_cni_changes_nothing(cluster: Cluster, version: int) -> None:
    tables = "iptables-nft" if version == 4 else "ip6tables-nft"
    for node in cluster.topology.nodes.values():
        node.run(f"{tables} -t nat -A POSTROUTING -j MASQUERADE")

    assert seen_as(cluster.topology.pods["worker"], version=version) == egress(version)


def test_a_mesh_over_ipv6_carries_both_families(cluster: Cluster) -> None:
    over_ipv6 = Cluster(cluster.topology, replace(DataPathSettings(), mtu=1430), underlay=6)
    over_ipv6.program(Wish())

    for version in (4, 6):
        assert seen_as(cluster.topology.pods["worker"], version=version) == egress(version)


@pytest.mark.parametrize("version", [4, 6])
def test_a_syn_offers_no_more_than_the_tunnel_carries(cluster: Cluster, version: int) -> None:
    with Capture(cluster.topology.outside) as capture:
        seen_as(cluster.topology.pods["worker"], version=version)
        syn = capture.wait_for(socket.IPPROTO_TCP)

    assert syn.mss == (1410 if version == 4 else 1390)


@pytest.mark.parametrize("version", [4, 6])
def test_a_pod_is_offered_no_more_than_the_tunnel_carries(cluster: Cluster, version: int) -> None:
    pod = cluster.topology.pods["worker"]
    with Capture(pod) as capture:
        seen_as(pod, version=version)
        answer = capture.wait_for(socket.IPPROTO_TCP)

    assert answer.mss == (1410 if version == 4 else 1390)
