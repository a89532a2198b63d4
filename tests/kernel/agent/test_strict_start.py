"""A pod that speaks before its agent has heard of it, seen from outside."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from kernel.agent.test_agent import EIP, INSIDE, UDP, VERSIONS, World, begins, eventually
from kernel.harness import Topology, node_address, pod_address
from kernel.traffic import Capture, Flow, Outside
from unit.agent.cluster import info, pod

from outgate.api.kinds import EGRESS_CLUSTER_INFO, POD
from outgate.api.view import DataPathSettings, IPAddress

pytestmark = pytest.mark.kernel

POD_NETWORKS = ("10.244.0.0/16", "2001:db8:a0::/44")


@pytest.fixture(params=[True, False], ids=["strict", "not strict"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    topology = Topology()
    made = World(topology, tmp_path, DataPathSettings(strict_start=request.param))
    made.api.put(EGRESS_CLUSTER_INFO, info(*INSIDE, pods=POD_NETWORKS))
    made.policy()
    made.api.drop(POD, "worker", namespace="shop")
    try:
        made.start()
        with Outside(topology.outside):
            yield made
    finally:
        made.delete()


def speak(flows: list[Flow], stop: threading.Event) -> None:
    """As fast as an application that has just begun."""
    while not stop.wait(0.002):
        for flow in flows:
            flow.socket.send(b"?")


def test_not_one_packet_leaves_with_a_wrong_address_from_the_first_on(world: World) -> None:
    strict = world.agents["worker"].data_path.strict_start
    here, outside = world.topology.pods["worker"], world.topology.outside
    for version in VERSIONS:
        eventually(begins(world.topology.pods["first"], version, EIP[version]))
    stop = threading.Event()
    with ExitStack() as stack:
        capture = stack.enter_context(Capture(outside))
        flows = [stack.enter_context(Flow(here, version=version, kind=UDP)) for version in VERSIONS]
        speaker = threading.Thread(target=speak, args=(flows, stop))
        speaker.start()
        stack.callback(speaker.join)
        stack.callback(stop.set)
        if strict:
            eventually(lambda: _dropped(world) > 20)
        else:
            eventually(lambda: _seen(capture) >= _wrong())
        ips = tuple(str(pod_address("worker", version)) for version in VERSIONS)
        # Its init containers run: it is not Running yet.
        world.api.put(POD, pod("worker", node="worker", ips=ips, phase="Pending"))
        if strict:
            eventually(lambda: _seen(capture) == set(EIP.values()))
        world.api.put(POD, pod("worker", node="worker", ips=ips))
        eventually(lambda: _seen(capture) >= set(EIP.values()))
        stop.set()
        speaker.join()
        assert _seen(capture) == set(EIP.values()) | (set() if strict else _wrong())
    if strict:
        assert _dropped(world) > 20


def _wrong() -> set[IPAddress]:
    return {node_address("worker", version) for version in VERSIONS}


def _seen(capture: Capture) -> set[IPAddress]:
    return {packet.source for packet in capture.packets() if packet.protocol == 17}


def _dropped(world: World) -> float:
    return world.agents["worker"].metric("dropped_packets", reason="unclassified")
