"""Running flows of an address whose node is cut off, or which is moved, through the real rules."""

import socket
import struct
from collections.abc import Iterator

import pytest
from kernel.cluster import EGRESS4, EGRESS6, ID, Cluster, Wish, egress
from kernel.harness import BRIEF, OUTSIDE4, OUTSIDE6, PATIENCE, Topology, pod_address
from kernel.traffic import Capture
from kernel.vip.flows_world import (
    INDEXES,
    Connection,
    cut_off,
    forget,
    guard,
    own_flows,
    point_to,
    rebind,
    take,
    told,
)

from outgate.api.view import DataPathSettings
from outgate.vip.flows.entries import Timeouts, bound_elsewhere, bound_here
from outgate.vip.flows.records import TCP, UDP, FlowRecord
from outgate.vip.flows.remapped import Others
from outgate.vip.flows.table import Made
from outgate.vip.flows.watch import RemappedWatch

pytestmark = pytest.mark.kernel

STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
FIRST = frozenset({"first"})

INVALID = """
table inet invalid {
  chain arriving {
    type filter hook prerouting priority 0;
    ct state invalid counter
  }
}
"""
MUTE = """
table inet mute {
  chain leaving {
    type filter hook output priority 0;
    meta l4proto tcp drop
  }
}
"""
LOSSES = """
table inet losses {
  chain arriving {
    type filter hook prerouting priority -300;
    numgen random mod 100 < 3 drop
  }
}
"""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    topology = Topology()
    try:
        made = Cluster(topology, DataPathSettings())
        made.program(Wish())
        guard(made)
        yield made
    finally:
        topology.delete()


@pytest.fixture
def connections() -> Iterator[list[Connection]]:
    made: list[Connection] = []
    yield made
    for one in made:
        one.close()


def crash(cluster: Cluster, records: list[FlowRecord] | None = None) -> None:
    """The first gateway is cut off, the second takes the address, and makes these flows."""
    cut_off(cluster, "first")
    point_to(cluster, "second", without=FIRST)
    take(cluster.topology.nodes["second"], records or [])
    cluster.place("second")


def move(cluster: Cluster, to: str, records: list[FlowRecord]) -> Made:
    """All go on to live; the address moves to that node, which makes these flows."""
    made = take(cluster.topology.nodes[to], records)
    point_to(cluster, to)
    cluster.place(to)
    return made


@pytest.mark.parametrize("kind", [STREAM, DATAGRAM])
@pytest.mark.parametrize("version", [4, 6])
def test_a_flow_that_the_server_pushes_survives_the_loss_of_its_gateway(
    cluster: Cluster, connections: list[Connection], version: int, kind: socket.SocketKind
) -> None:
    topology = cluster.topology
    flow = Connection(topology.pods["worker"], topology.outside, version=version, kind=kind)
    connections.append(flow)
    assert flow.seen_as == egress(version)

    crash(cluster, told(topology.nodes["worker"]))

    assert flow.goes_on()


@pytest.mark.parametrize("kind", [STREAM, DATAGRAM])
def test_without_the_hand_over_it_breaks(
    cluster: Cluster, connections: list[Connection], kind: socket.SocketKind
) -> None:
    topology = cluster.topology
    flow = Connection(topology.pods["worker"], topology.outside, kind=kind)
    connections.append(flow)
    flow.pod.settimeout(BRIEF)

    crash(cluster)

    assert not flow.goes_on()


@pytest.mark.parametrize("version", [4, 6])
def test_nothing_is_out_of_a_window_that_the_new_holder_has_not_seen(
    cluster: Cluster, connections: list[Connection], version: int
) -> None:
    topology = cluster.topology
    flow = Connection(topology.pods["worker"], topology.outside, version=version)
    connections.append(flow)
    for _ in range(60):  # the windows grow
        flow.push(200_000)
    flow.settle()
    topology.nodes["second"].run("nft -f -", script=INVALID)

    crash(cluster, told(topology.nodes["worker"]))
    # Without acknowledgements the server uses all of the window that was scaled in the handshake.
    topology.pods["worker"].run("nft -f -", script=MUTE)
    sent = _as_much_as_fits(flow.server)
    received = 0
    while received < 60_000:
        received += len(flow.pod.recv(1 << 20))
    topology.pods["worker"].run("nft delete table inet mute")
    while received < sent:
        received += len(flow.pod.recv(1 << 20))

    assert "packets 0 " in topology.nodes["second"].run("nft list table inet invalid")


def test_selective_acknowledgements_go_on(cluster: Cluster, connections: list[Connection]) -> None:
    topology = cluster.topology
    for version in (4, 6):
        flow = Connection(topology.pods["worker"], topology.outside, version=version)
        connections.append(flow)
    crash(cluster, told(topology.nodes["worker"]))
    topology.pods["worker"].run("nft -f -", script=LOSSES)

    for flow in connections:
        left = _as_much_as_fits(flow.server)
        while left > 0:
            left -= len(flow.pod.recv(1 << 20))
        flow.server.settimeout(PATIENCE)
        flow.pull(20_000)


def _as_much_as_fits(server: socket.socket) -> int:
    """Bytes that the server's kernel has taken to send."""
    server.setblocking(False)
    sent = 0
    try:
        while sent < 8_000_000:
            sent += server.send(bytes(100_000))
    except BlockingIOError:
        pass
    assert sent > 100_000
    return sent


def test_of_200_flows_none_breaks(cluster: Cluster, connections: list[Connection]) -> None:
    topology = cluster.topology
    for number in range(200):
        version = 4 if number % 4 else 6
        connections.append(Connection(topology.pods["worker"], topology.outside, version=version))

    crash(cluster, told(topology.nodes["worker"]))

    assert [flow.goes_on() for flow in connections] == [True] * 200


@pytest.mark.parametrize("told_again", [True, False])
def test_an_address_that_comes_back_does_not_meet_its_old_windows(
    cluster: Cluster, connections: list[Connection], told_again: bool
) -> None:
    topology = cluster.topology
    flow = Connection(topology.pods["worker"], topology.outside)
    connections.append(flow)
    move(cluster, "second", told(topology.nodes["worker"]))
    for _ in range(60):
        flow.push(200_000)
    flow.settle()

    made = move(cluster, "first", told(topology.nodes["worker"]) if told_again else [])
    if not told_again:
        flow.pod.settimeout(BRIEF)

    assert made.replaced == told_again
    assert flow.goes_on() == told_again


def test_what_the_last_holder_forgot_is_picked_up_again_when_the_pod_speaks(
    cluster: Cluster, connections: list[Connection]
) -> None:
    topology = cluster.topology
    flow = Connection(topology.pods["worker"], topology.outside)
    connections.append(flow)
    move(cluster, "second", told(topology.nodes["worker"]))
    for _ in range(60):
        flow.push(200_000)

    forget(topology.nodes["first"])
    move(cluster, "first", [])

    flow.pull()
    assert flow.goes_on()


def test_a_flow_whose_pod_spoke_first_goes_on_when_it_is_told(
    cluster: Cluster, connections: list[Connection]
) -> None:
    topology = cluster.topology
    flow = Connection(topology.pods["worker"], topology.outside)
    connections.append(flow)
    records = told(topology.nodes["worker"])
    move(cluster, "second", [])
    flow.pull()  # the kernel picks it up in the middle
    flow.push()

    assert take(topology.nodes["second"], records).replaced == 1

    assert flow.goes_on()


@pytest.mark.parametrize("guarded", [True, False])
def test_a_packet_of_an_unknown_flow_is_not_answered_by_a_reset(
    cluster: Cluster, connections: list[Connection], guarded: bool
) -> None:
    topology = cluster.topology
    if not guarded:  # so that the other case says something
        topology.nodes["second"].run("nft delete table inet guard")
    flow = Connection(topology.pods["worker"], topology.outside)
    connections.append(flow)
    flow.pod.settimeout(BRIEF)

    with Capture(topology.outside) as capture:
        crash(cluster)
        flow.goes_on()
        resets = [
            packet
            for packet in capture.packets()
            if packet.protocol == socket.IPPROTO_TCP and packet.payload[13] & 0x04
        ]

    assert bool(resets) == (not guarded)


@pytest.mark.parametrize("version", [4, 6])
def test_echo_replies_find_their_pod_at_the_new_holder(cluster: Cluster, version: int) -> None:
    topology = cluster.topology
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
    pod, outside = topology.pods["worker"], topology.outside
    with pod.socket(family, socket.SOCK_RAW, protocol) as asking:
        asking.bind((str(pod_address("worker", version)), 0))
        request = _echo(8 if version == 4 else 128, 4711)
        asking.sendto(request, (str(OUTSIDE4 if version == 4 else OUTSIDE6), 0))
        _wait_for_echo(asking, version)
        crash(cluster, told(topology.nodes["worker"]))
        with outside.socket(family, socket.SOCK_RAW, protocol) as answering:
            reply = _echo(0 if version == 4 else 129, 4711)
            answering.sendto(reply, (str(EGRESS4 if version == 4 else EGRESS6), 0))

        _wait_for_echo(asking, version)


def _echo(kind: int, identifier: int) -> bytes:
    body = struct.pack("!BBHHH", kind, 0, 0, identifier, 1)
    total = sum(struct.unpack("!4H", body))
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return struct.pack("!BBHHH", kind, 0, checksum, identifier, 1)


def _wait_for_echo(asking: socket.socket, version: int) -> None:
    while True:  # TimeoutError ends it
        packet = asking.recv(2048)
        body = packet[20:] if version == 4 else packet
        if body[0] == (0 if version == 4 else 129) and body[4:6] == struct.pack("!H", 4711):
            return


@pytest.mark.parametrize("replicated", [True, False])
@pytest.mark.parametrize("kind", [STREAM, DATAGRAM])
@pytest.mark.parametrize("version", [4, 6])
def test_a_flow_with_a_changed_port_survives_by_what_its_gateway_told(
    cluster: Cluster,
    connections: list[Connection],
    version: int,
    kind: socket.SocketKind,
    replicated: bool,
) -> None:
    topology = cluster.topology
    port, to = 20_404, 9_000  # the namespaces are this test's own
    other = FlowRecord(
        protocol=TCP if kind == STREAM else UDP,
        egress_id=ID,
        index=INDEXES["second"],
        pod=pod_address("second", version).packed,
        destination=(OUTSIDE4 if version == 4 else OUTSIDE6).packed,
        from_=port,
        to=to,
        port=port,
    )
    others = Others()
    with topology.nodes["first"].inside(RemappedWatch) as watch:
        # Another pod has that port towards that destination.
        assert take(topology.nodes["first"], [other]).created == 1
        flow = Connection(
            topology.pods["worker"],
            topology.outside,
            version=version,
            kind=kind,
            port=to,
            from_port=port,
        )
        connections.append(flow)
        assert flow.server.getpeername()[1] != port
        changes = watch.turn()
    assert [record.from_ for record in changes.added] == [port]
    if replicated:
        others.hear("first", changes)
    if not replicated:
        flow.pod.settimeout(BRIEF)

    records = [other, *told(topology.nodes["worker"])]
    crash(cluster, list(others.amended(records, holder="first")))

    assert flow.goes_on() == replicated


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("kind", [STREAM, DATAGRAM])
def test_flows_of_the_gateway_nodes_own_pods_move_along(
    cluster: Cluster, connections: list[Connection], version: int, kind: socket.SocketKind
) -> None:
    topology = cluster.topology
    nodes = topology.nodes
    for name in ("first", "second", "worker"):
        pod = topology.pods[name]
        connections.append(Connection(pod, topology.outside, version=version, kind=kind))
    holder, other = "first", "second"
    for _ in range(2):  # there and back
        local, coming = own_flows(nodes[holder]), own_flows(nodes[other])
        assert len(local) == len(coming) == 1
        records = [*told(nodes[holder]), *told(nodes["worker"])]

        made = take(nodes[other], records)
        assert made.created + made.replaced == 2
        point_to(cluster, other)
        address = EGRESS4 if version == 4 else EGRESS6
        assert rebind(nodes[other], [bound_here(coming[0], address, Timeouts())]).replaced == 1
        cluster.place(other)
        assert rebind(nodes[holder], [bound_elsewhere(local[0], Timeouts())]).replaced == 1

        assert [flow.goes_on() for flow in connections] == [True] * 3
        holder, other = other, holder
