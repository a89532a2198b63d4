"""A thousand addresses of a node that has died: here, and answered for, before it is noticed."""

import resource
import statistics
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from kernel.vip.gate_lan import GATEWAY, Node, Outside, opened

from outgate.vip.gate.kernel import GateKernel
from outgate.vip.kernel import AddressKernel
from outgate.vip.model import Holding

pytestmark = pytest.mark.kernel

TIMES = 3
"""What `ip -batch` takes for the same addresses, in seconds of CPU, which is mostly the kernel's:
ours, and the claim besides, take as much. (By the clock 0.07 to 0.25 s on two CPUs with other
work, and up to 0.8 s beside six busy loops.)"""

MANY = [
    *(ip_address("198.51.100.0") + number for number in range(10, 210)),
    *(ip_address("2001:db8:e::1:0") + number for number in range(800)),
]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Node, Node, Outside]]:
    with opened(tmp_path) as (first, second, outside):
        first.word(GateKernel.start)
        first.word(lambda gate: gate.manage(GATEWAY, MANY))
        yield first, second, outside


def test_a_thousand_addresses_are_claimed_and_on_the_link_for_little_more_than_ip_takes_to_add_them(
    world: tuple[Node, Node, Outside],
) -> None:
    first, second, outside = world
    holdings = [Holding(address, "eth0") for address in MANY]
    ips = by_ip(second)
    second.namespace.ip("link set eth0 down")  # it would answer for them

    def move() -> float:
        with AddressKernel() as addresses:
            addresses.add_all(holdings[:1])  # the first one is read back
            begin = time.thread_time()
            assert addresses.add_all(holdings) == {}
            first.gate.claim(GATEWAY, MANY, epoch=1, until=time.monotonic() + 30.0)
            took = time.thread_time() - begin
            assert addresses.observe().owned == frozenset(holdings)
        return took

    ours = first.inside(move)
    print(ours, ips)
    assert ours < TIMES * ips
    assert outside.who_has(MANY[0]) == {first.mac}
    assert outside.who_has(MANY[-1]) == {first.mac}

    def away() -> frozenset[Holding]:
        with AddressKernel() as addresses:
            assert addresses.remove_all(holdings) == {}
            assert addresses.remove_all(holdings) == {}
            return addresses.observe().owned

    assert first.inside(away) == frozenset()


def test_an_address_that_can_not_be_added_hinders_no_other(
    world: tuple[Node, Node, Outside],
) -> None:
    first, *_ = world
    good, bad = Holding(MANY[0], "eth0"), Holding(MANY[1], "nowhere")

    def add() -> None:
        with AddressKernel() as addresses:
            assert addresses.add_all([bad, good]).keys() == {bad}
            assert addresses.observe().owned == {good}

    first.inside(add)


def test_a_refresh_costs_no_more_with_a_thousand_addresses(
    world: tuple[Node, Node, Outside],
) -> None:
    first, *_ = world

    def cost(gate: GateKernel) -> float:
        begin = time.thread_time()
        for _ in range(10):
            gate.refresh(GATEWAY, until=time.monotonic() + 30.0)
        return (time.thread_time() - begin) / 10

    def usual() -> float:
        return statistics.median(first.word(cost) for _ in range(10))

    first.claim(30.0, MANY[0])
    one = usual()
    first.claim(30.0, *MANY)
    many = usual()
    print(one, many)
    assert many < 3 * one


def by_ip(node: Node) -> float:
    """Adds all to the link, by one `ip`: its seconds of CPU."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    node.namespace.ip(
        *(f"addr add {a}/{a.max_prefixlen} dev eth0 noprefixroute" for a in MANY[:200]),
        *(f"addr add {a}/{a.max_prefixlen} dev eth0 nodad noprefixroute" for a in MANY[200:]),
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
