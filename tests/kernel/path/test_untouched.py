"""What pods say to their own link is none of ours, under 0.0.0.0/0 and ::/0, gateway or not.

ARP, neighbour and router discovery, IGMP and MLD, DHCP in both families, multicast, link-local
addresses: each is heard on the node's end of the pod's wire, above netfilter, from the address
that the pod sent it from.
"""

import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from kernel.cluster import Cluster, Wish
from kernel.harness import PATIENCE, Namespace, Topology, pod_address

from outgate.api.view import DataPathSettings, IPAddress

pytestmark = pytest.mark.kernel

EVERYTHING = frozenset(map(ip_network, ("0.0.0.0/0", "::/0")))
REASONS = ("foreign_tunnel", "invalid", "leak", "no_gateway", "not_held", "tunnel_address")
"""But `stray`: a node's own kernel solicits routers on the tunnel device, now and then."""

GROUP4, GROUP6 = IPv4Address("239.1.2.3"), IPv6Address("ff02::1234")
MDNS4, MDNS6 = IPv4Address("224.0.0.251"), IPv6Address("ff02::fb")
MULTICAST_ROUTERS = IPv4Address("224.0.0.22")  # RFC 3376
ALL_NODES, ALL_ROUTERS, MLD_ROUTERS, DHCP_SERVERS = map(
    IPv6Address, ("ff02::1", "ff02::2", "ff02::16", "ff02::1:2")
)
ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT = 133, 134  # RFC 4861
NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 135, 136
MLD2_REPORT = 143  # RFC 3810
IGMP3_REPORT = 0x22


@dataclass(frozen=True)
class Wire:
    """A matched pod, its node, and the node's end of the pod's wire."""

    name: str
    pod: Namespace
    node: Namespace


@pytest.fixture(scope="module", params=["first", None], ids=["gateway", "no gateway"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    topology = Topology()
    try:
        made = Cluster(topology, DataPathSettings())
        made.program(Wish(holder=request.param, inside=frozenset(), destinations=EVERYTHING))
        yield made
    finally:
        topology.delete()


@pytest.fixture(params=["worker", "first"])
def wire(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Wire]:
    """Nothing of what a test sends may be counted as dropped."""
    name = request.param
    topology = cluster.topology
    before = cluster.nft[name].counters()
    yield Wire(name, topology.pods[name], topology.nodes[name])
    after = cluster.nft[name].counters()
    assert [reason for reason in REASONS if after[reason] != before[reason]] == []


def link_local(namespace: Namespace, device: str) -> IPAddress:
    words = namespace.run(f"ip -6 -o addr show dev {device} scope link").split()
    return ip_address(words[3].partition("/")[0])


def joined(
    namespace: Namespace, device: str, group: IPAddress, kind: int, protocol: int = 0
) -> socket.socket:
    """A socket that hears what is sent to the group on the device."""
    family = socket.AF_INET if group.version == 4 else socket.AF_INET6
    made = namespace.socket(family, kind, protocol)
    index = namespace.inside(lambda: socket.if_nametoindex(device))
    if group.version == 4:
        membership = group.packed + bytes(4) + struct.pack("@i", index)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    else:
        membership = group.packed + struct.pack("@I", index)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
    return made


def bound(made: socket.socket, device: str, port: int) -> socket.socket:
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    made.bind(("", port))
    return made


def heard(listener: socket.socket, sender: IPAddress, wanted: Callable[[bytes], bool]) -> bool:
    """Whether the sender sends what is wanted, in time."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            message, source = listener.recvfrom(2048)
        except TimeoutError:
            return False
        if wanted(message) and ip_address(source[0].partition("%")[0]) == sender:
            return True
    return False


def icmp6(kind: int) -> Callable[[bytes], bool]:
    return lambda message: message[0] == kind


def test_neighbours_are_found_and_link_local_addresses_answer(wire: Wire) -> None:
    node4, node6 = (pod_address(wire.name, version) - 4 for version in (4, 6))
    for address in (node4, node6, f"{link_local(wire.node, 'pod0')}%eth0"):
        wire.pod.run("ip neigh flush dev eth0")
        wire.node.run("ip neigh flush dev pod0")
        wire.pod.run(f"ping -c1 -W2 {address}")


def test_a_neighbour_may_be_solicited_and_may_advertise_itself(wire: Wire) -> None:
    # What the kernel does by itself, said once more by a program of the pod's.
    with (
        wire.node.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as at_node,
        wire.pod.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as at_pod,
    ):
        at_pod.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
        target = pod_address(wire.name, 6) - 4
        solicitation = struct.pack("!BBHI", NEIGHBOUR_SOLICITATION, 0, 0, 0) + target.packed
        at_pod.sendto(solicitation, (str(target), 0))
        assert heard(at_node, pod_address(wire.name, 6), icmp6(NEIGHBOUR_SOLICITATION))
        assert heard(at_pod, target, icmp6(NEIGHBOUR_ADVERTISEMENT))


@pytest.mark.parametrize(
    ("kind", "group"), [(ROUTER_SOLICITATION, ALL_ROUTERS), (ROUTER_ADVERTISEMENT, ALL_NODES)]
)
def test_routers_are_solicited_and_advertise_themselves(
    wire: Wire, kind: int, group: IPv6Address
) -> None:
    with (
        joined(wire.node, "pod0", group, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as at_node,
        joined(wire.pod, "eth0", group, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as at_pod,
    ):
        for speaker, listener, device, sender in (
            (at_pod, at_node, "eth0", wire.pod),
            (at_node, at_pod, "pod0", wire.node),
        ):
            speaker.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
            speaker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            speaker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
            speaker.sendto(struct.pack("!BBHQ", kind, 0, 0, 0), (str(group), 0))
            assert heard(listener, link_local(sender, device), icmp6(kind))


def test_groups_are_joined(wire: Wire) -> None:
    with (
        joined(wire.node, "pod0", MLD_ROUTERS, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as mld,
        joined(wire.node, "pod0", MULTICAST_ROUTERS, socket.SOCK_RAW, socket.IPPROTO_IGMP) as igmp,
        joined(wire.pod, "eth0", GROUP4, socket.SOCK_DGRAM),
        joined(wire.pod, "eth0", GROUP6, socket.SOCK_DGRAM),
    ):
        assert heard(mld, link_local(wire.pod, "eth0"), icmp6(MLD2_REPORT))
        assert heard(igmp, pod_address(wire.name, 4), is_report)


def is_report(packet: bytes) -> bool:
    return packet[(packet[0] & 0xF) * 4] == IGMP3_REPORT


@pytest.mark.parametrize("group", [MDNS4, MDNS6, GROUP4, GROUP6])
def test_multicast_is_heard_on_the_link(wire: Wire, group: IPAddress) -> None:
    family = socket.AF_INET if group.version == 4 else socket.AF_INET6
    with (
        bound(joined(wire.node, "pod0", group, socket.SOCK_DGRAM), "pod0", 5353) as at_node,
        bound(wire.pod.socket(family, socket.SOCK_DGRAM), "eth0", 5353) as at_pod,
    ):
        at_pod.sendto(b"who is there?", (str(group), 5353))
        sender = pod_address(wire.name, 4) if group.version == 4 else link_local(wire.pod, "eth0")
        assert heard(at_node, sender, b"who is there?".__eq__)


@pytest.mark.parametrize("destination", ["255.255.255.255", "subnet"])
def test_dhcp_of_a_pod_with_an_address_is_heard_and_answered(wire: Wire, destination: str) -> None:
    address = pod_address(wire.name, 4)
    if destination == "subnet":
        destination = str(ip_network(f"{address}/24", strict=False)[-1])
    with (
        bound(wire.node.socket(socket.AF_INET, socket.SOCK_DGRAM), "pod0", 67) as server,
        bound(wire.pod.socket(socket.AF_INET, socket.SOCK_DGRAM), "eth0", 68) as client,
    ):
        client.sendto(b"request", (destination, 67))
        assert heard(server, address, b"request".__eq__)
        server.sendto(b"ack", (str(address), 68))
        assert heard(client, address - 4, b"ack".__eq__)


def test_dhcp_of_a_pod_without_an_address_is_heard(wire: Wire) -> None:
    with (
        bound(wire.node.socket(socket.AF_INET, socket.SOCK_DGRAM), "pod0", 67) as server,
        wire.pod.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as client,
    ):
        client.bind(("eth0", 0))
        datagram = struct.pack("!HHHH", 68, 67, 16, 0) + b"discover"
        header = struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, 36, 0, 0, 64, socket.IPPROTO_UDP, 0, bytes(4), b"\xff" * 4
        )
        total = sum(struct.unpack("!10H", header))
        checksum = 0xFFFF - (total % 0xFFFF)
        packet = header[:10] + checksum.to_bytes(2, "big") + header[12:] + datagram
        client.sendto(packet, ("eth0", 0x0800, 0, 0, b"\xff" * 6))
        assert heard(server, IPv4Address(0), b"discover".__eq__)


def test_dhcpv6_is_heard_and_answered(wire: Wire) -> None:
    with (
        bound(joined(wire.node, "pod0", DHCP_SERVERS, socket.SOCK_DGRAM), "pod0", 547) as server,
        bound(wire.pod.socket(socket.AF_INET6, socket.SOCK_DGRAM), "eth0", 546) as client,
    ):
        client.sendto(b"solicit", (str(DHCP_SERVERS), 547))
        source = link_local(wire.pod, "eth0")
        assert heard(server, source, b"solicit".__eq__)
        server.sendto(b"advertise", (str(source), 546))
        assert heard(client, link_local(wire.node, "pod0"), b"advertise".__eq__)
