"""Flows of all kinds through a move of their address, planned or not: by the shell's hand-over."""

import socket
import time
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from kernel.cluster import EGRESS4, EGRESS6
from kernel.harness import OUTSIDE6, pod_address
from kernel.vip.flows_world import Connection
from kernel.vip.handover_world import ID6, Echo, World, opened

from outgate.vip.flows.entries import LOCAL, Entry
from outgate.vip.flows.records import TCP
from outgate.vip.flows.table import FlowTable, Inserter

pytestmark = pytest.mark.kernel

KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
MANY = 50_000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path) as made:
        yield made


Flows = dict[str, Connection | Echo]


@pytest.fixture
def flows(world: World) -> Iterator[Flows]:
    """A worker's and a gateway node's pod, of which one or the other could not keep its port."""
    made: Flows = {}
    pods, outside = world.topology.pods, world.topology.outside
    for version in (4, 6):
        made[f"echo {version}"] = Echo(pods["worker"], outside, version=version)
        for kind in KINDS:
            port = 20_000 + version
            for to, order in ((9000, ("worker", "second")), (9001, ("second", "worker"))):
                for who in order:
                    flow = Connection(
                        pods[who],
                        outside,
                        version=version,
                        kind=kind,
                        port=to,
                        from_port=port + to,
                    )
                    changed = flow.server.getpeername()[1] != port + to
                    assert flow.seen_as == (EGRESS4 if version == 4 else EGRESS6)
                    assert changed == (who != order[0])
                    which = "changed" if changed else "kept"
                    made[f"{kind.name} {version} of {who}, {which} port"] = flow
    yield made
    for one in made.values():
        one.close()


@pytest.mark.parametrize("planned", [True, False], ids=["planned", "crash"])
def test_what_the_server_pushes_arrives_after_a_move(
    world: World, flows: Flows, planned: bool
) -> None:
    if planned:
        world.move()
    else:
        world.crash()

    ended = [name for name, flow in flows.items() if not _goes_on_in_time(flow)]
    assert ended == []


def _goes_on_in_time(flow: Connection | Echo) -> bool:
    """After a crash the flows come a moment after the address; TCP says it again by itself."""
    if isinstance(flow, Connection) and flow.pod.type == socket.SOCK_STREAM:
        return flow.goes_on()
    end = time.monotonic() + 5.0
    if isinstance(flow, Connection):
        flow.pod.settimeout(0.2)
    while time.monotonic() < end:
        if flow.goes_on():
            return True
    return False


def test_50_000_flows_are_all_there_before_the_address_and_a_few_are_there_first(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    topology = world.topology
    few = [Connection(topology.pods["worker"], topology.outside) for _ in range(3)]
    topology.nodes["worker"].inside(lambda: _make(_many()))
    began, cpu = time.monotonic(), time.process_time()

    order = world.prepare()

    took, worked = time.monotonic() - began, time.process_time() - cpu
    with FlowTable() as table:
        there = topology.nodes["second"].inside(
            lambda: sum(len(some) for some in table.listed(ID6 << 16, 0xFFFF0000))
        )
    with capsys.disabled():
        print(f" {MANY} flows handed over in {took:.2f} s, {worked:.2f} s of CPU ", end="")
    assert there == MANY
    assert order == [frozenset((EGRESS4,)), frozenset((EGRESS6,))]
    world.move()
    assert [flow.goes_on() for flow in few] == [True] * 3
    for flow in few:
        flow.close()


def _many() -> Iterator[Entry]:
    """As a worker's table has them: towards the tunnel, with the pods' own addresses."""
    pod = pod_address("worker", 6)
    for number in range(MANY):
        destination = IPv6Address(int(OUTSIDE6) + 1 + number // 10_000).packed
        yield Entry(
            protocol=TCP,
            source=pod.packed,
            destination=destination,
            from_=10_000 + number % 10_000,
            to=443,
            bound=pod.packed,
            port=10_000 + number % 10_000,
            really=destination,
            really_to=443,
            zone=None,
            mark=ID6 << 16 | LOCAL | 1,
            assured=True,
            timeout=600,
        )


def _make(entries: Iterable[Entry]) -> None:
    with Inserter() as inserter:
        for _ in inserter.insert(entries):
            pass
        assert inserter.made.created == MANY
