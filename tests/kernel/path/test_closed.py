"""What can't leave with its egress address does not leave, and is counted by reason."""

import socket
import time
from dataclasses import replace

import pytest
from kernel.cluster import EGRESS4, EGRESS6, ID, Cluster, Wish, mesh_node
from kernel.harness import NODES, OUTSIDE4, PATIENCE, Topology, node_address, pod_address
from kernel.traffic import Capture, Flow, is_silent

from outgate.api.view import DataPathSettings, HeldEgress
from outgate.rules.diff import diff
from outgate.rules.plan import plan
from outgate.tunnel.model import Delete, Rule

pytestmark = pytest.mark.kernel

FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


def assert_nothing_left(capture: Capture) -> None:
    transport = (socket.IPPROTO_TCP, socket.IPPROTO_UDP)
    assert [packet for packet in capture.packets() if packet.protocol in transport] == []


@pytest.mark.parametrize("node", ["worker", "first"])
@pytest.mark.parametrize("version", [4, 6])
def test_without_a_next_hop_nothing_leaks(cluster: Cluster, node: str, version: int) -> None:
    cluster.program(Wish(holder=None))
    with Capture(cluster.topology.outside) as capture:
        assert is_silent(cluster.topology.pods[node], version=version)
        assert is_silent(cluster.topology.pods[node], version=version, kind=socket.SOCK_DGRAM)
        assert_nothing_left(capture)

    assert cluster.count(node, "no_gateway") > 0


@pytest.mark.parametrize("version", [4, 6])
def test_an_id_that_the_gateway_does_not_hold_is_dropped_there(
    cluster: Cluster, version: int
) -> None:
    cluster.program_node("first", Wish(holder="second"))
    with Capture(cluster.topology.outside) as capture:
        assert is_silent(cluster.topology.pods["worker"], version=version)
        assert_nothing_left(capture)

    assert cluster.count("first", "not_held") > 0


@pytest.mark.parametrize("version", [4, 6])
def test_an_own_pod_is_dropped_if_the_id_has_no_address_here(
    cluster: Cluster, version: int
) -> None:
    other = HeldEgress(ID, None, EGRESS6) if version == 4 else HeldEgress(ID, EGRESS4, None)
    view = replace(cluster.view("first", cluster.wish), held=(other,))
    nft = cluster.nft["first"]
    nft.apply(diff(nft.observe(), plan(view, cluster.settings).ruleset))
    with Capture(cluster.topology.outside) as capture:
        assert is_silent(cluster.topology.pods["first"], version=version)
        assert_nothing_left(capture)

    assert cluster.count("first", "not_held") > 0


@pytest.mark.parametrize("version", [4, 6])
def test_nothing_leaks_while_the_ip_rules_are_missing(cluster: Cluster, version: int) -> None:
    mesh = cluster.mesh["worker"]
    mesh.apply([Delete(each) for each in mesh.observe().objects if isinstance(each, Rule)])
    with Capture(cluster.topology.outside) as capture:
        assert is_silent(cluster.topology.pods["worker"], version=version)
        assert_nothing_left(capture)

    assert cluster.count("worker", "leak") > 0


def test_a_flow_bound_to_the_tunnel_does_not_leak_when_its_id_comes_here(
    cluster: Cluster,
) -> None:
    pod = cluster.topology.pods["second"]
    with Flow(pod) as flow, Capture(cluster.topology.outside) as capture:
        flow.seen_as()
        cluster.program(Wish(holder="second"))
        flow.socket.settimeout(0.4)
        with pytest.raises(TimeoutError):
            flow.seen_as()
        sources = {packet.source for packet in capture.packets()}

    assert pod_address("second", 4) not in sources
    assert node_address("second", 4) not in sources
    assert cluster.count("second", "leak") > 0


def test_packets_that_conntrack_calls_invalid_do_not_leave(cluster: Cluster) -> None:
    # A lone SYN/ACK belongs to no flow.
    segment = bytes.fromhex("1f901f90000000010000000150120400 00000000".replace(" ", ""))
    with Capture(cluster.topology.outside) as capture:
        raw = cluster.topology.pods["worker"].socket(
            socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP
        )
        with raw:
            raw.sendto(segment, (str(OUTSIDE4), 0))
        assert_nothing_left(capture)

    assert cluster.count("worker", "invalid") == 1


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", ["worker", "first"])
def test_a_pod_reaches_no_tunnel_address(cluster: Cluster, name: str, version: int) -> None:
    pod = cluster.topology.pods[name]
    with pod.socket(FAMILY[version], socket.SOCK_DGRAM) as datagram:
        for count, node in enumerate(NODES, start=1):
            peer = mesh_node(node)
            tunnel = peer.tunnel4 if version == 4 else peer.tunnel6
            datagram.sendto(b"x", (str(tunnel), 8080))
            assert cluster.count(name, "tunnel_address") == count, node


@pytest.mark.parametrize("underlay", [4, 6])
@pytest.mark.parametrize("name", ["worker", "first"])
def test_a_pod_reaches_the_tunnels_port_of_no_node(
    topology: Topology, name: str, underlay: int
) -> None:
    cluster = Cluster(topology, DataPathSettings(), underlay=underlay)
    cluster.program(Wish())
    pod = topology.pods[name]
    with pod.socket(FAMILY[underlay], socket.SOCK_DGRAM) as datagram:
        for count, node in enumerate(NODES, start=1):
            datagram.sendto(b"x", (str(node_address(node, underlay)), cluster.settings.port))
            assert cluster.count(name, "foreign_tunnel") == count, node


def test_a_pod_that_takes_a_peers_address_does_not_reach_the_tunnel(cluster: Cluster) -> None:
    pod = cluster.topology.pods["first"]
    payload = vxlan(mac=mesh_node("worker").mac, id_=ID, inner=INNER)
    peer, gateway = (str(node_address(name, 4)) for name in ("worker", "first"))
    with (
        Capture(cluster.topology.outside) as capture,
        pod.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw,
    ):
        raw.sendto(udp(peer, gateway, port=7789, payload=payload), (gateway, 0))
        assert_nothing_left(capture)

    assert cluster.count("first", "foreign_tunnel") == 1


def test_a_neighbour_on_the_lan_reaches_no_tunnel_address(cluster: Cluster) -> None:
    stranger = cluster.topology.stranger(["192.0.2.99/24"])
    stranger.ip(f"route add 198.18.192.0/18 via {node_address('first', 4)}")
    with stranger.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        for count, node in enumerate(NODES, start=1):
            datagram.sendto(b"x", (str(mesh_node(node).tunnel4), 8080))
            wait_for_count(cluster, "first", "tunnel_address", count)


def wait_for_count(cluster: Cluster, name: str, counter: str, count: int) -> None:
    """The LAN's softirq may take the packet a moment later."""
    deadline = time.monotonic() + PATIENCE
    while cluster.count(name, counter) != count:
        assert time.monotonic() < deadline, (counter, cluster.count(name, counter))


def vxlan(*, mac: str, id_: int, inner: bytes) -> bytes:
    """A VXLAN-GBP packet's UDP payload (draft-smith-vxlan-group-policy)."""
    header = b"\x88\x00" + id_.to_bytes(2, "big") + (7789).to_bytes(3, "big") + b"\0"
    destination = bytes.fromhex(mesh_node("first").mac.replace(":", ""))
    return header + destination + bytes.fromhex(mac.replace(":", "")) + b"\x08\x00" + inner


def udp(source: str, destination: str, *, port: int = 8080, payload: bytes = b"who?") -> bytes:
    """An IPv4 packet with a UDP datagram."""
    size = 8 + len(payload)
    packet = bytearray(
        b"\x45\0"
        + (20 + size).to_bytes(2, "big")
        + bytes.fromhex("000000004011")
        + b"\0\0"
        + socket.inet_aton(source)
        + socket.inet_aton(destination)
        + (5000).to_bytes(2, "big")
        + port.to_bytes(2, "big")
        + size.to_bytes(2, "big")
        + b"\0\0"
        + payload
    )
    total = sum(int.from_bytes(packet[at : at + 2], "big") for at in range(0, 20, 2))
    packet[10:12] = (0xFFFF - (total % 0xFFFF)).to_bytes(2, "big")
    return bytes(packet)


INNER = udp("10.244.1.5", str(OUTSIDE4))


def test_a_stranger_on_the_lan_can_not_use_the_tunnel(cluster: Cluster) -> None:
    stranger = cluster.topology.stranger(["192.0.2.99/24"])
    with Capture(cluster.topology.outside) as capture:
        with stranger.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            payload = vxlan(mac=mesh_node("worker").mac, id_=ID, inner=INNER)
            datagram.sendto(payload, (str(node_address("first", 4)), 7789))
        assert_nothing_left(capture)

    assert cluster.count("first", "foreign_tunnel") == 1


@pytest.mark.parametrize(
    ("id_", "mac", "counter"),
    [
        (0, mesh_node("worker").mac, "not_held"),
        (ID, "02:00:00:00:99:99", "foreign_tunnel"),
        (ID + 1, mesh_node("worker").mac, "not_held"),
    ],
)
def test_a_peers_packet_needs_a_held_id_and_a_known_mac(
    cluster: Cluster, id_: int, mac: str, counter: str
) -> None:
    worker = cluster.topology.nodes["worker"]
    with Capture(cluster.topology.outside) as capture:
        with worker.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            payload = vxlan(mac=mac, id_=id_, inner=INNER)
            datagram.sendto(payload, (str(node_address("first", 4)), 7789))
        assert_nothing_left(capture)

    assert cluster.count("first", counter) == 1


def test_the_same_packet_of_a_peer_passes_with_a_held_id_and_a_known_mac(
    cluster: Cluster,
) -> None:
    worker = cluster.topology.nodes["worker"]
    with Capture(cluster.topology.outside) as capture:
        with worker.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            payload = vxlan(mac=mesh_node("worker").mac, id_=ID, inner=INNER)
            datagram.sendto(payload, (str(node_address("first", 4)), 7789))
        assert str(capture.wait_for(socket.IPPROTO_UDP).source) == "198.51.100.7"
