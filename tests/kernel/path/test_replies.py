"""Replies find the pod: by the tunnel, or by the CNI's routes."""

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
from kernel.cluster import Cluster, Wish, egress
from kernel.harness import NODES, Topology, node_address
from kernel.traffic import Capture, Outside, is_silent, seen_as

from outgate.api.view import DataPathSettings

pytestmark = pytest.mark.kernel


@pytest.fixture
def by_cni(topology: Topology) -> Iterator[Cluster]:
    made = Cluster(topology, replace(DataPathSettings(), reply_route=False))
    made.program(Wish())
    with Outside(topology.outside):
        yield made


@pytest.mark.parametrize("version", [4, 6])
def test_by_the_tunnel_with_strict_reverse_path_filters_elsewhere(
    cluster: Cluster, version: int
) -> None:
    for node in cluster.topology.nodes.values():
        node.sysctl({f"ipv4/conf/{name}/rp_filter": 1 for name in ("all", "eth0", "pod0")})

    for name in NODES:
        assert seen_as(cluster.topology.pods[name], version=version) == egress(version)


@pytest.mark.parametrize("version", [4, 6])
def test_by_the_cni_if_there_is_no_reply_route(by_cni: Cluster, version: int) -> None:
    pod = by_cni.topology.pods["worker"]
    assert is_silent(pod, version=version)  # no route yet: the outside's router gets them

    for name in ("first", "second"):
        by_cni.topology.nodes[name].ip(
            f"route add 10.244.1.0/24 via {node_address('worker', 4)}",
            f"route add 2001:db8:a1::/64 via {node_address('worker', 6)}",
        )

    assert seen_as(pod, version=version) == egress(version)


def test_a_reply_to_a_node_that_left_the_mesh_is_dropped(cluster: Cluster) -> None:
    cluster.program_node("worker", Wish())
    pod = cluster.topology.pods["worker"]
    seen_as(pod)
    transaction_before = cluster.count("first", "no_node")
    table = "netdev outgate"
    cluster.topology.nodes["first"].run(f"nft flush map {table} mac")

    with Capture(cluster.topology.nodes["worker"]) as capture:
        assert is_silent(pod, kind=socket.SOCK_DGRAM)
        assert all(packet.source != node_address("first", 4) for packet in capture.packets())

    assert cluster.count("first", "no_node") > transaction_before


def test_a_gateways_word_that_a_packet_is_too_big_reaches_the_pod(cluster: Cluster) -> None:
    cluster.topology.nodes["first"].ip("route replace 203.0.113.0/24 dev eth0 mtu lock 1280")
    pod = cluster.topology.pods["worker"]
    datagram = pod.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with datagram, Capture(pod) as capture:
        datagram.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
        datagram.sendto(b"x" * 1350, ("203.0.113.10", 8080))
        complaint = capture.wait_for(socket.IPPROTO_ICMP)

    assert complaint.payload[:2] == b"\x03\x04"  # fragmentation needed
    assert int.from_bytes(complaint.payload[6:8], "big") == 1280
