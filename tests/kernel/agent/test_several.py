"""A policy with several addresses: pods leave with one each, and keep it when others come or go."""

from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

import pytest
from kernel.agent.test_agent import EIP, OTHER, VERSIONS, World, begins, eventually, running, sees
from kernel.harness import Topology, pod_address
from unit.agent.cluster import pod

from outgate.agent.egress import Entry, spread
from outgate.api.kinds import POD
from outgate.api.policy import AssignedEIP, PolicyStatus
from outgate.api.view import IPAddress

pytestmark = pytest.mark.kernel


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    topology = Topology()
    made = World(topology, tmp_path)
    try:
        yield made
    finally:
        made.delete()


def status(*addresses: Mapping[int, IPAddress]) -> PolicyStatus:
    eips = tuple(AssignedEIP(ipv4=str(each[4]), ipv6=str(each[6])) for each in addresses)
    return PolicyStatus(gateway="egw", eip=eips[0], eips=eips if len(eips) > 1 else ())


def put_pod(world: World, name: str, *, place: int) -> None:
    """The node's pod, with a uid by which it gets the address at that place."""
    entries = tuple(Entry(1, 1, str(each[4])) for each in (EIP, OTHER))
    uid = next(f"u{n}" for n in count() if spread(f"shop/{name}/u{n}", entries, 4) == place)
    ips = tuple(str(pod_address(name, version)) for version in VERSIONS)
    world.api.drop(POD, name, namespace="shop")  # else it would keep its uid
    world.api.put(POD, pod(name, node=name, ips=ips, uid=uid))


def test_two_pods_leave_with_two_addresses_and_one_moves_alone(world: World) -> None:
    put_pod(world, "worker", place=0)
    put_pod(world, "first", place=1)
    world.policy(status=status(EIP, OTHER))
    with running(world) as flows:
        pods = world.topology.pods
        for version in VERSIONS:
            eventually(sees(flows["worker", version], EIP[version]))
            eventually(sees(flows["first", version], OTHER[version]))
            assert begins(pods["worker"], version, EIP[version])()
            assert begins(pods["first"], version, OTHER[version])()
        world.policy(status=status(EIP))
        for version in VERSIONS:
            eventually(sees(flows["first", version], EIP[version]))
            assert sees(flows["worker", version], EIP[version])()
        world.policy(status=status(OTHER, EIP))
        for version in VERSIONS:
            eventually(sees(flows["first", version], OTHER[version]))
            assert sees(flows["worker", version], EIP[version])()
