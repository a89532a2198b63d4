"""The vip process as it ships against a real API server: two nodes on a LAN, an agent's word."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from apiserver.harness import ApiServer
from apiserver.vip_lan import VipLan, vip_lan
from kernel.vip.processes import Vip, eventually

from outgate.api.core import Lease
from outgate.api.kinds import LEASE
from outgate.kube.client import Client
from outgate.vip.leases.names import lease_name

pytestmark = pytest.mark.kernel

NODES = ("node-a", "node-b")
VIPS = ("203.0.113.7", "203.0.113.8", "203.0.113.9", "203.0.113.10")
PATIENT = {"interval": 0.5, "misses": 6, "lease": 2.5, "isolation": 6.0, "freshness": 2.0}
PATIENT |= {"withhold": 2.4, "probe": 0.3}
"""Options: a busy machine is no reason to let go. The defaults are the lab's matter."""


class World:
    """Two members of a gateway, their Leases as anybody reads them."""

    def __init__(self, lan: VipLan, client: Client, namespace: str) -> None:
        self.lan, self._client, self._namespace = lan, client, namespace
        self.vips: dict[str, Vip] = {}
        for node in NODES:
            self.start(node)

    def start(self, node: str) -> None:
        """A new process there, which hears the agent's word."""
        self.vips[node] = vip = self.lan.start(node, namespace=self._namespace, **PATIENT)
        vip.told(*VIPS, members=NODES)

    def lease(self, node: str) -> Lease | None:
        name = lease_name("internet", node)
        return self._client.get(LEASE, name, namespace=self._namespace)

    def version(self, node: str) -> str:
        lease = self.lease(node)
        return "" if lease is None else lease.metadata.resource_version

    def epoch(self, node: str) -> int:
        lease = self.lease(node)
        return 0 if lease is None else lease.spec.lease_transitions or 0

    def inside(self, node: str) -> bool:
        lease = self.lease(node)
        return lease is not None and lease.spec.holder_identity == node

    def held(self) -> dict[str, set[str]]:
        """What each node's link has of the addresses."""
        return {node: self.lan.addresses(node) & set(VIPS) for node in NODES}

    def all_at(self, *nodes: str) -> bool:
        """Whether each address is at one of these."""
        held = self.held()
        return set(VIPS) == set().union(*(held[node] for node in nodes))


@pytest.fixture
def world(apiserver: ApiServer, client: Client, namespace: str, tmp_path: Path) -> Iterator[World]:
    with vip_lan(apiserver, tmp_path, nodes=NODES) as lan:
        world = World(lan, client, namespace)
        eventually(lambda: world.all_at(*NODES))
        yield world


def _busiest(held: dict[str, set[str]]) -> tuple[str, str]:
    """The node with the most addresses, and the other."""
    first, second = sorted(NODES, key=lambda node: -len(held[node]))
    return first, second


def test_leases_are_renewed_and_a_killed_nodes_is_taken_over_by_a_higher_epoch(
    world: World,
) -> None:
    eventually(lambda: all(map(world.inside, NODES)))
    first, second = _busiest(world.held())
    before = {node: world.version(node) for node in NODES}
    eventually(lambda: all(before[node] != world.version(node) for node in NODES))
    epoch = max(map(world.epoch, NODES))
    world.vips[first].end(signal.SIGKILL)
    eventually(lambda: world.all_at(second))
    assert not world.inside(first)
    assert world.inside(second)
    assert min(world.epoch(first), world.epoch(second)) > epoch
    world.start(first)
    eventually(lambda: world.inside(first) and world.epoch(first) > epoch + 1)
    eventually(lambda: world.held() == {first: set(), second: set(VIPS)})


def test_an_api_server_that_is_away_costs_no_address_and_no_takeover(
    world: World, apiserver: ApiServer
) -> None:
    eventually(lambda: all(map(world.inside, NODES)))
    held = world.held()
    for vip in world.vips.values():
        eventually(lambda vip=vip: vip.report().api)  # type: ignore[misc]
    apiserver.stop()
    for vip in world.vips.values():
        eventually(lambda vip=vip: not vip.report().api)  # type: ignore[misc]
    assert world.held() == held
    first, second = _busiest(held)
    world.vips[first].end(signal.SIGKILL)
    eventually(lambda: world.all_at(second))
    apiserver.start()
    eventually(lambda: world.vips[second].report().api)
    eventually(lambda: not world.inside(first) and world.inside(second))
    assert world.all_at(second)
