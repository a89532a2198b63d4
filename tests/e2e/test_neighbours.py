"""Rows V5, V9: others on the segment who answer for an address, or do not learn where it is."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from e2e.world import World, selected
from scapy.layers.l2 import ARP, Ether

from outgate.lab import netns, passing
from outgate.lab.passing import Fault, Kind
from outgate.lab.topology import CONTROL_PLANE, ROUTER

EIP, OTHER_EIP = "172.30.0.110", "172.30.0.105"
CLIENT = "client-w1"
STRANGER = CONTROL_PLANE
"""Who answers for what is not his: it is on the segment, and no node."""

GATEWAY_NODES = ("gw1", "gw2")
RECHECKED = 60.0
"""Seconds within which a way back that failed is found to work: it is checked each 30 s."""


@pytest.fixture(scope="module")
def used(world: World) -> Iterator[World]:
    """A pod leaves by the address."""
    with world.having(world.policy("neighbours", {"appliedTo": selected(pod=CLIENT)})):
        world.wait_source(CLIENT, EIP)
        yield world


def told(world: World, name: str, *labels: str) -> float:
    """What all gateway nodes tell, together."""
    metrics = (world.metrics(node) for node in GATEWAY_NODES)
    return sum(one.get((f"outgate_vip_{name}", "default", *labels), 0.0) for one in metrics)


def test_a_router_that_learns_nothing_from_announcements_is_reported_until_it_knows(
    used: World,
) -> None:
    (holder,) = used.lab.wait("one holder", lambda: used.holders(EIP))
    with passing.happening(used.lab, Fault(Kind.UNTAUGHT, ROUTER)):
        used.wait_source(CLIENT, EIP)  # so the router knows where the address is, until it moves
        with passing.happening(used.lab, Fault(Kind.CUT_OFF, holder)):
            used.lab.wait(
                "a way back to be reported as failed",
                lambda: told(used, "return_path_failed_addresses"),
            )
            assert told(used, "return_path_checks_total", "failed") >= 1
    used.lab.wait(
        "the way back to work again",
        lambda: not told(used, "return_path_failed_addresses"),
        timeout=RECHECKED,
    )
    used.wait_source(CLIENT, EIP)


def test_who_speaks_for_an_address_that_is_held_is_reported_and_the_holder_stays(
    used: World,
) -> None:
    holders = used.lab.wait("one holder", lambda: used.holders(EIP))
    before = told(used, "conflicts_total", "held")
    mac = used.lab.topology.host(STRANGER).mac
    claim = Ether(dst="ff:ff:ff:ff:ff:ff", src=mac) / ARP(op=1, hwsrc=mac, psrc=EIP, pdst=EIP)
    with netns.open_socket(
        used.lab.paths.netns(STRANGER), socket.AF_PACKET, socket.SOCK_RAW
    ) as wire:
        wire.bind(("eth0", 0))
        wire.send(bytes(claim))
    used.lab.wait(
        "the conflict to be reported", lambda: told(used, "conflicts_total", "held") > before
    )
    assert told(used, "contested_addresses") >= 1
    assert used.holders(EIP) == holders
    used.wait_source(CLIENT, EIP)


def test_an_address_that_somebody_else_has_is_not_taken_before_he_has_left(used: World) -> None:
    wanted = used.policy(
        "occupied", {"appliedTo": selected(pod="client-gw1"), "egressIP": {"ipv4": OTHER_EIP}}
    )
    with stranger(used, OTHER_EIP):
        before = told(used, "conflicts_total", "wanted")
        with used.having(wanted, ready=False):
            used.lab.wait(
                "the stranger to be reported",
                lambda: told(used, "conflicts_total", "wanted") > before + 1,
            )
            assert used.holders(OTHER_EIP) == ()
            assert used.source("client-gw1", timeout=1.0) == ""
            used.lab.exec(STRANGER, *_address("delete", OTHER_EIP))
            used.wait_source("client-gw1", OTHER_EIP)


@contextmanager
def stranger(world: World, address: str) -> Iterator[None]:
    """Somebody who is no node has the address, unless he is told to leave before."""
    world.lab.exec(STRANGER, *_address("add", address))
    try:
        yield
    finally:
        if f" {address}/" in world.lab.exec(STRANGER, "ip", "-o", "address", "show", "eth0"):
            world.lab.exec(STRANGER, *_address("delete", address))


def _address(verb: str, address: str) -> tuple[str, ...]:
    return ("ip", "address", verb, f"{address}/32", "dev", "eth0")
