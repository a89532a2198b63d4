"""What is too big is told so, cut, or not offered: small, usual and jumbo underlays."""

import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from kernel.cluster import Wish, egress
from kernel.cni.beside import Beside
from kernel.harness import BRIEF, OUTSIDE4, OUTSIDE6, PATIENCE, Topology
from kernel.traffic import Capture, Outside, seen_as

from outgate.api.view import DataPathSettings

pytestmark = pytest.mark.kernel

BULK = 1_000_000
BULK_PORT = 8081
PROBE_PORT = 8082

# linux/in.h, linux/in6.h
IP_MTU_DISCOVER, IP_MTU, IPV6_MTU_DISCOVER, IPV6_MTU = 10, 14, 23, 24
PMTUDISC_DONT, PMTUDISC_DO = 0, 2

OUTSIDE = {4: OUTSIDE4, 6: OUTSIDE6}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
HEADERS = {4: 28, 6: 48}
"""Of IP and UDP, bytes."""


@pytest.fixture(params=[1400, 1500, 9000])
def underlay(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def cluster(topology: Topology, underlay: int) -> Iterator[Beside]:
    """The LAN carries `underlay` bytes; pods and the outside believe that they may send as much."""
    for line in topology.lan.run("ip -o link show type veth").splitlines():
        port = line.split()[1].partition("@")[0]
        topology.lan.ip(f"link set {port} mtu {underlay}")
    topology.lan.ip(f"link set br0 mtu {underlay}")
    for namespace in (topology.outside, *topology.nodes.values(), *topology.pods.values()):
        namespace.ip(f"link set eth0 mtu {underlay}")
    for node in topology.nodes.values():
        node.ip(f"link set pod0 mtu {underlay}")
    made = Beside(topology, replace(DataPathSettings(), mtu=underlay - 50))
    made.program(Wish())
    with Outside(topology.outside):
        yield made


def set_discovery(socket_: socket.socket, version: int, mode: int) -> None:
    if version == 4:
        socket_.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, mode)
    else:
        socket_.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, mode)


def path_mtu(socket_: socket.socket, version: int) -> int:
    if version == 4:
        return socket_.getsockopt(socket.IPPROTO_IP, IP_MTU)
    return socket_.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU)


@pytest.mark.parametrize("version", [4, 6])
def test_a_pod_learns_what_the_tunnel_carries(cluster: Beside, underlay: int, version: int) -> None:
    pod = cluster.topology.pods["worker"]
    with (
        pod.socket(FAMILY[version], socket.SOCK_DGRAM) as datagram,
        Capture(pod, everything=True) as capture,
    ):
        set_discovery(datagram, version, PMTUDISC_DO)
        datagram.connect((str(OUTSIDE[version]), PROBE_PORT))
        assert path_mtu(datagram, version) == underlay

        datagram.send(b"x" * (underlay - HEADERS[version]))
        protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
        wait_for_too_big(capture, protocol)

        assert datagram.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EMSGSIZE
        assert path_mtu(datagram, version) == underlay - 50


def wait_for_too_big(capture: Capture, protocol: int) -> None:
    kinds = {socket.IPPROTO_ICMP: b"\x03\x04", socket.IPPROTO_ICMPV6: b"\x02\x00"}
    for _ in range(int(PATIENCE / 0.05)):  # a capture is read for 0.05 s at least
        for packet in capture.packets():
            if packet.protocol == protocol and packet.payload[:2] == kinds[protocol]:
                return
    raise AssertionError(f"nothing was said to be too big: {capture.packets()}")


@pytest.mark.parametrize("version", [4, 6])
def test_the_outside_learns_what_the_tunnel_carries(
    cluster: Beside, underlay: int, version: int
) -> None:
    outside = cluster.topology.outside
    pod = cluster.topology.pods["worker"]
    with (
        outside.socket(FAMILY[version], socket.SOCK_DGRAM) as server,
        pod.socket(FAMILY[version], socket.SOCK_DGRAM) as client,
        Capture(outside, everything=True) as capture,
    ):
        server.bind(("", PROBE_PORT))
        set_discovery(server, version, PMTUDISC_DO)
        client.connect((str(OUTSIDE[version]), PROBE_PORT))
        client.send(b"hello")
        _, source = server.recvfrom(2048)
        server.connect(source)

        server.send(b"x" * (underlay - HEADERS[version]))
        protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
        wait_for_too_big(capture, protocol)

        assert server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EMSGSIZE
        assert path_mtu(server, version) == underlay - 50
        server.send(b"x" * (underlay - 50 - HEADERS[version]))
        assert len(client.recv(65536)) == underlay - 50 - HEADERS[version]


@pytest.mark.parametrize("version", [4, 6])
def test_datagrams_that_may_be_cut_arrive_in_both_directions(
    cluster: Beside, underlay: int, version: int
) -> None:
    size = underlay - HEADERS[version]
    outside, pod = cluster.topology.outside, cluster.topology.pods["worker"]
    with (
        outside.socket(FAMILY[version], socket.SOCK_DGRAM) as server,
        pod.socket(FAMILY[version], socket.SOCK_DGRAM) as client,
    ):
        server.bind(("", PROBE_PORT))
        client.connect((str(OUTSIDE[version]), PROBE_PORT))
        for each in (server, client):
            set_discovery(each, version, PMTUDISC_DONT)
            each.settimeout(BRIEF)

        # A router cuts IPv4 only; in IPv6 the sender does, as soon as it has been told.
        received, source = until_it_arrives(lambda: client.send(b"x" * size), server)
        assert (received, source[0]) == (b"x" * size, str(egress(version)))
        received, _ = until_it_arrives(lambda: server.sendto(b"y" * size, source), client)
        assert received == b"y" * size


def until_it_arrives(
    send: Callable[[], object], receiver: socket.socket
) -> tuple[bytes, tuple[str, int]]:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        send()
        try:
            return receiver.recvfrom(65536)
        except TimeoutError:
            continue
    raise AssertionError("nothing arrived")


@pytest.mark.parametrize("version", [4, 6])
def test_tcp_carries_a_lot_in_both_directions(cluster: Beside, version: int) -> None:
    outside, pod = cluster.topology.outside, cluster.topology.pods["worker"]
    with (
        outside.socket(FAMILY[version], socket.SOCK_STREAM) as listener,
        pod.socket(FAMILY[version], socket.SOCK_STREAM) as client,
    ):
        listener.bind(("", BULK_PORT))
        listener.listen()
        client.connect((str(OUTSIDE[version]), BULK_PORT))
        server, source = listener.accept()
        server.settimeout(PATIENCE)
        with server:
            assert source[0] == str(egress(version))
            for sender, receiver in ((client, server), (server, client)):
                assert carried(sender, receiver) == BULK


def carried(sender: socket.socket, receiver: socket.socket) -> int:
    """How many of `BULK` bytes arrive."""
    thread = threading.Thread(target=lambda: sender.sendall(bytes(BULK)))
    thread.start()
    arrived = 0
    try:
        while arrived < BULK:
            arrived += len(receiver.recv(65536))
    finally:
        thread.join()
    return arrived


@pytest.mark.parametrize("version", [4, 6])
def test_only_what_outgate_carries_is_offered_less(
    cluster: Beside, underlay: int, version: int
) -> None:
    headers = 40 if version == 4 else 60
    for name, offered in (
        ("worker", underlay - 50),
        ("first", underlay - 50),
        ("second", underlay),
    ):
        with Capture(cluster.topology.outside) as capture:
            seen_as(cluster.topology.pods[name], version=version)
            assert capture.wait_for(socket.IPPROTO_TCP).mss == offered - headers, name
        with Capture(cluster.topology.pods[name]) as capture:
            seen_as(cluster.topology.pods[name], version=version)
            assert capture.wait_for(socket.IPPROTO_TCP).mss == offered - headers, name
