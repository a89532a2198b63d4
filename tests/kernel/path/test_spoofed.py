"""A pod that takes an address that is not its own gets nobody's egress address.

Where each pod has a wire of its own, the node knows by which one an address is to be reached. On a
bridge all pods come by one device, and only the bridge could tell them apart: there a pod passes
for its neighbour (a CNI may forbid it to), but not for the egress address itself.
"""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from kernel.cluster import Cluster, Wish, egress
from kernel.cni import foreign
from kernel.harness import (
    NODES,
    OUTSIDE4,
    OUTSIDE6,
    Namespace,
    Topology,
    node_address,
    pod_address,
)
from kernel.traffic import PORT, Capture, Outside, seen_as

from outgate.api.view import DataPathSettings, IPAddress

pytestmark = pytest.mark.kernel

OUTSIDE = {4: OUTSIDE4, 6: OUTSIDE6}
SOURCE_PORT = 5000
TRANSPARENT = {4: (socket.IPPROTO_IP, 19), 6: (socket.IPPROTO_IPV6, 75)}
"""IP_TRANSPARENT and IPV6_TRANSPARENT: any source that the sender likes."""


@dataclass(frozen=True)
class Neighbour:
    """A pod under no policy, beside the matched one of the node."""

    name: str
    cluster: Cluster
    pod: Namespace

    def say(self, source: IPAddress) -> None:
        """One datagram to the outside, from that address."""
        family = socket.AF_INET if source.version == 4 else socket.AF_INET6
        with self.pod.socket(family, socket.SOCK_DGRAM) as datagram:
            datagram.setsockopt(*TRANSPARENT[source.version], 1)
            datagram.bind((str(source), SOURCE_PORT))
            datagram.sendto(b"it's me", (str(OUTSIDE[source.version]), PORT))

    def seen(self, source: IPAddress) -> set[IPAddress]:
        """As whom the outside hears it."""
        with Capture(self.cluster.topology.outside) as capture:
            self.say(source)
            return {
                packet.source
                for packet in capture.packets()
                if packet.protocol == socket.IPPROTO_UDP
                and packet.destination == OUTSIDE[source.version]
            }


@pytest.fixture(scope="module", params=["wires", "bridge"])
def wiring(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=["worker", "first"])
def neighbour(request: pytest.FixtureRequest, wiring: str) -> Iterator[Neighbour]:
    topology = Topology()
    name = str(request.param)
    pod = Namespace(f"{name}other")
    try:
        if wiring == "bridge":
            for node in topology.nodes.values():
                foreign.bridge(topology, node)
        made = Cluster(topology, DataPathSettings())
        made.program(Wish())
        plug(topology.nodes[name], pod, wiring)
        with Outside(topology.outside):
            yield Neighbour(name, made, pod)
    finally:
        pod.delete()
        topology.delete()


def plug(node: Namespace, pod: Namespace, wiring: str) -> None:
    """As the plugins `ptp` and `bridge` do; the node checks no reverse path by itself."""
    pod.sysctl({"ipv6/conf/default/accept_dad": 0, "ipv6/conf/default/accept_ra": 0})
    node.ip(f"link add pod1 type veth peer name eth0 netns {pod.name}", "link set pod1 up")
    pod.ip("link set eth0 up")
    for version in (4, 6):
        own, router = own_address(node.role, version), pod_address(node.role, version) - 4
        nodad = " nodad" if version == 6 else ""
        pod.ip(
            f"addr add {own}/{own.max_prefixlen} dev eth0{nodad}",
            f"route add {router} dev eth0",
            f"route add default via {router}",
        )
        if wiring == "wires":
            node.ip(
                f"addr add {router}/{router.max_prefixlen} dev pod1{nodad}",
                f"route add {own} dev pod1",
            )
    if wiring == "bridge":
        node.ip("link set pod1 master cni0")


def own_address(name: str, version: int) -> IPAddress:
    return pod_address(name, version) + 1


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("wiring", ["wires"], indirect=True)
def test_by_its_own_wire_a_pod_does_not_pass_for_its_neighbour(
    neighbour: Neighbour, version: int
) -> None:
    before = neighbour.cluster.count(neighbour.name, "spoofed")
    assert neighbour.seen(pod_address(neighbour.name, version)) == set()
    assert neighbour.cluster.count(neighbour.name, "spoofed") == before + 1


@pytest.mark.parametrize("version", [4, 6])
def test_a_pod_does_not_pass_for_the_egress_address(neighbour: Neighbour, version: int) -> None:
    assert neighbour.seen(egress(version)) == set()


@pytest.mark.parametrize("version", [4, 6])
def test_pods_of_other_nodes_and_nodes_are_no_way_to_an_egress_address(
    neighbour: Neighbour, version: int
) -> None:
    for node in NODES:
        for source in (pod_address(node, version), node_address(node, version)):
            if source != pod_address(neighbour.name, version):
                assert egress(version) not in neighbour.seen(source), (node, source)


@pytest.mark.parametrize("version", [4, 6])
def test_matched_pods_and_their_neighbours_leave_as_ever(
    neighbour: Neighbour, version: int
) -> None:
    matched = neighbour.cluster.topology.pods[neighbour.name]
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        assert seen_as(matched, version=version, kind=kind) == egress(version)
        seen = seen_as(neighbour.pod, version=version, kind=kind)
        assert seen == node_address(neighbour.name, version)
