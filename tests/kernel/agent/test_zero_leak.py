"""Not one packet of a pod under a policy leaves with a wrong address, whatever happens (P11)."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from kernel.agent.test_agent import EIP, INSIDE, OTHER, UDP, VERSIONS, World, begins, eventually
from kernel.agent.test_strict_start import POD_NETWORKS
from kernel.harness import OUTSIDE4, OUTSIDE6, Namespace, Topology
from kernel.traffic import Capture, Flow, Outside
from unit.agent.cluster import cluster_policy, info

from outgate.api.kinds import EGRESS_CLUSTER_INFO, EGRESS_CLUSTER_POLICY, EGRESS_POLICY
from outgate.api.policy import AssignedEIP, PolicyStatus
from outgate.api.view import DataPathSettings, IPAddress

pytestmark = pytest.mark.kernel

PODS = ("worker", "first")
RIGHT = {*EIP.values(), *OTHER.values()}
WIDER = ("203.0.113.0/24", "2001:db8:f::/64")
NARROWER = (str(OUTSIDE4), str(OUTSIDE6), "198.51.100.128/25")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Under two policies: one for every pod, and before it one of the pods' own."""
    topology = Topology()
    made = World(topology, tmp_path, DataPathSettings(strict_start=True))
    made.api.put(EGRESS_CLUSTER_INFO, info(*INSIDE, pods=POD_NETWORKS))
    other = AssignedEIP(ipv4=str(OTHER[4]), ipv6=str(OTHER[6]))
    status = PolicyStatus(gateway="egw", eip=other)
    made.api.put(EGRESS_CLUSTER_POLICY, cluster_policy(status=status))
    made.policy()
    try:
        made.start()
        with Outside(topology.outside):
            for name in PODS:
                for version in VERSIONS:
                    eventually(begins(topology.pods[name], version, EIP[version]))
            yield made
    finally:
        made.delete()


class Speaker:
    """A pod that never stops: flows that go on, and one more every few packets."""

    def __init__(self, pod: Namespace, stop: threading.Event) -> None:
        self._pod, self._stop = pod, stop
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        with ExitStack() as stack:
            going = [stack.enter_context(self._flow(version)) for version in VERSIONS]
            while not self._stop.wait(0.01):
                for flow in going:
                    flow.socket.send(b"?")
                for version in VERSIONS:
                    with self._flow(version) as flow:
                        flow.socket.send(b"?")

    def _flow(self, version: int) -> Flow:
        return Flow(self._pod, version=version, kind=UDP)


class Watch(Capture):
    """What the outside hears of the pods."""

    def sources(self, *, begin: int = 0) -> list[IPAddress]:
        """Of all packets so far, or of those from a number on."""
        # A node that has just lost an address may send an answer back: that is nobody's packet.
        here = (OUTSIDE4, OUTSIDE6)
        udp = [p for p in self.packets() if p.protocol == 17 and p.destination in here]
        return [packet.source for packet in udp[begin:]]

    def hears(self, addresses: Iterable[IPAddress]) -> Callable[[], bool]:
        """Whether packets come from each of these, from now on."""
        begin, wanted = len(self.sources()), set(addresses)
        return lambda: wanted <= set(self.sources(begin=begin))


@pytest.fixture
def watch(world: World) -> Iterator[Watch]:
    stop = threading.Event()
    with Watch(world.topology.outside) as made:
        speakers = [Speaker(world.topology.pods[name], stop) for name in PODS]
        try:
            eventually(made.hears(EIP.values()))
            yield made
        finally:
            stop.set()
            for speaker in speakers:
                speaker.thread.join()
        assert set(made.sources()) <= RIGHT


def test_while_policies_are_edited(world: World, watch: Watch) -> None:
    for dest in (WIDER, NARROWER, (), WIDER):
        world.policy(dest=dest)
        eventually(watch.hears(EIP.values()))
    world.policy(exclude=WIDER)
    eventually(watch.hears(OTHER.values()))
    world.policy()
    eventually(watch.hears(EIP.values()))


def test_while_a_policy_is_deleted_and_made_anew(world: World, watch: Watch) -> None:
    for _ in range(5):
        world.api.drop(EGRESS_POLICY, "p", namespace="shop")
        world.policy()
        eventually(watch.hears(EIP.values()))
    world.api.drop(EGRESS_POLICY, "p", namespace="shop")
    eventually(watch.hears(OTHER.values()))
    world.policy()
    eventually(watch.hears(EIP.values()))


def test_while_addresses_change_and_move_and_go_out_of_use(world: World, watch: Watch) -> None:
    for holder in ("second", "first"):
        world.hold(holder)
        eventually(partial(held, world, holder))
        eventually(watch.hears(EIP.values()))
    world.withdraw()
    eventually(lambda: world.agents["worker"].metric("dropped_packets", reason="no_gateway") > 20)
    world.hold("second")
    eventually(watch.hears(EIP.values()))
    world.policy(OTHER)
    eventually(watch.hears(OTHER.values()))
    world.policy(status=PolicyStatus())
    world.policy()
    eventually(watch.hears(EIP.values()))


def held(world: World, name: str) -> bool:
    return all(str(address) in world.addresses(name) for address in EIP.values())


def test_while_agents_restart_and_things_change_meanwhile(world: World, watch: Watch) -> None:
    changes: list[tuple[str, Callable[[], None]]] = [
        ("worker", partial(world.policy, dest=WIDER)),
        ("first", partial(world.policy, dest=NARROWER)),
        ("worker", partial(world.hold, "second")),
        ("first", partial(world.hold, "first")),
        ("worker", partial(world.policy, OTHER)),
    ]
    for name, change in changes:
        world.agents[name].halt()
        change()
        world.agents[name].start()
        eventually(world.agents[name].ready)
    eventually(watch.hears(OTHER.values()))
