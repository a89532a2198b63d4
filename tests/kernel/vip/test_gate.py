"""The kernel-enforced lease: who answers, what leaves and arrives, and when that ends."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel.vip.gate_lan import (
    BOTH,
    EGRESS4,
    EGRESS6,
    GATEWAY,
    OTHER4,
    PORT,
    Node,
    Outside,
    opened,
)

from outgate.api.view import IPAddress
from outgate.vip.gate.errors import GateRefused, Lapsed
from outgate.vip.gate.kernel import GateKernel

pytestmark = pytest.mark.kernel

LONG = 30.0
"""Seconds: a lease that does not run out within a test."""

MARGIN = 0.015
"""`Settings.margin`: by so much a kernel's timer may be late."""

World = tuple[Node, Node, Outside]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path) as made:
        first, second, outside = made
        yield first.begin(), second.begin(), outside


def lapse(node: Node) -> None:
    """Waits until the lease that was claimed for a moment has run out in the kernel."""
    until = node.claim(0.1)
    threading.Event().wait(until + MARGIN - time.monotonic())


@pytest.mark.parametrize("address", BOTH, ids=str)
def test_of_two_nodes_that_have_the_address_exactly_the_owner_answers(
    world: World, address: IPAddress
) -> None:
    first, second, outside = world
    assert outside.who_has(address) == set()
    first.claim(LONG)
    assert outside.who_has(address) == {first.mac}
    first.word(lambda gate: gate.release(BOTH))
    assert outside.who_has(address) == set()
    second.claim(LONG)
    assert outside.who_has(address) == {second.mac}


@pytest.mark.parametrize("address", BOTH, ids=str)
def test_nothing_leaves_arrives_or_is_answered_before_a_claim_and_after_the_lease(
    world: World, address: IPAddress
) -> None:
    first, _, outside = world
    for _ in ("never claimed", "lapsed"):
        assert outside.who_has(address) == set()
        assert not outside.left_from(first, address.version)
        before = first.counter("arriving") + first.counter("late")
        outside.send_to(first, address)
        assert first.counter("arriving") + first.counter("late") == before + 1
        lapse(first)
    first.claim(LONG)
    assert outside.who_has(address) == {first.mac}
    assert outside.left_from(first, address.version)


@pytest.mark.parametrize("address", BOTH, ids=str)
def test_without_refreshes_the_last_answer_comes_before_the_lease_and_the_margin_are_over(
    world: World, address: IPAddress
) -> None:
    first, _, outside = world
    assert outside.who_has(address) == set()  # which also imports scapy, for longer than a lease
    # As of a process that is stopped: not one more word.
    until = first.claim(0.25)
    last = 0.0
    while time.monotonic() < until + 0.1:
        outside.question(address)
        for when, _ in outside.answers(address, within=0.003):
            last = when
    assert until - 0.1 < last < until + MARGIN


def test_a_refresh_keeps_it_alive_and_never_revives_what_has_lapsed(world: World) -> None:
    first, _, outside = world
    first.claim(0.2)
    for _ in range(20):
        first.word(lambda gate: gate.refresh(GATEWAY, until=time.monotonic() + 0.2))
        assert outside.who_has(EGRESS4, within=0.02) == {first.mac}
    lapse(first)
    with pytest.raises(Lapsed):
        first.word(lambda gate: gate.refresh(GATEWAY, until=time.monotonic() + LONG))
    assert outside.who_has(EGRESS4) == set()


def test_a_claim_after_a_lapse_brings_back_nothing_but_what_is_claimed(world: World) -> None:
    first, _, outside = world
    lapse(first)
    first.claim(LONG, EGRESS6)
    assert outside.who_has(EGRESS6) == {first.mac}
    assert outside.who_has(EGRESS4) == set()


def test_what_comes_too_late_is_not_done(world: World) -> None:
    first, _, outside = world
    with pytest.raises(Lapsed):
        first.claim(-0.001)
    assert outside.who_has(EGRESS4) == set()


def test_stopped_between_the_clock_and_the_transaction_it_is_refused_by_the_kernel(
    world: World,
) -> None:
    first, _, outside = world
    until = first.claim(0.6)

    def stopped_after_looking() -> float:
        now = time.monotonic()
        threading.Event().wait(0.1)
        return now

    first.gate._clock = stopped_after_looking
    with pytest.raises((Lapsed, GateRefused)):
        first.word(lambda gate: gate.refresh(GATEWAY, until=until + 0.5))
    assert outside.who_has(EGRESS4) == set()


@pytest.mark.parametrize("address", BOTH, ids=str)
def test_after_a_planned_move_the_old_holder_is_silent_at_once_and_passes_packets_on(
    world: World, address: IPAddress
) -> None:
    first, second, outside = world
    first.claim(LONG)
    first.word(lambda gate: gate.release(BOTH, pass_on=1.0))
    ends = time.monotonic() + 1.0
    second.claim(LONG)
    assert outside.who_has(address) == {second.mac}
    # Or the kernel asks for the next hop in the name of the address, which does not get out.
    first.unlink(*BOTH)
    assert outside.left_from(first, address.version)
    threading.Event().wait(ends + MARGIN - time.monotonic())
    assert not outside.left_from(first, address.version)
    assert outside.left_from(second, address.version)


def test_what_was_passed_on_is_no_longer_when_a_later_lease_lapses(world: World) -> None:
    first, _, outside = world
    first.claim(LONG)
    first.word(lambda gate: gate.release(BOTH, pass_on=LONG))
    lapse(first)
    assert not outside.left_from(first, 4)


@pytest.mark.parametrize("address", BOTH, ids=str)
def test_the_node_itself_is_never_reached_by_the_address(world: World, address: IPAddress) -> None:
    first, _, outside = world
    first.claim(LONG)
    before = first.counter("local")
    # A closed port: a node answers with an ICMP error.
    outside.send_to(first, address, port=PORT)
    assert first.counter("local") == before + 1
    assert outside.seen(address) == 0


def test_a_new_process_adopts_what_lives_and_goes_on_with_it(world: World) -> None:
    first, _, outside = world
    until = first.claim(LONG, epoch=7)
    first.restarted()
    adopted = first.word(lambda gate: gate.start())
    assert [(one.gateway, one.address, one.epoch) for one in adopted] == [
        (GATEWAY, EGRESS4, 7),
        (GATEWAY, EGRESS6, 7),
    ]
    assert all(until - 0.1 < one.until <= until for one in adopted)
    assert outside.who_has(EGRESS4) == {first.mac}
    first.word(lambda gate: gate.refresh(GATEWAY, until=time.monotonic() + LONG))
    assert outside.who_has(EGRESS4) == {first.mac}


def test_a_new_process_that_knows_nothing_silences_what_lives(world: World, tmp_path: Path) -> None:
    first, _, outside = world
    first.claim(LONG)
    (tmp_path / "first.json").unlink()
    first.restarted()
    assert first.word(lambda gate: gate.start()) == ()
    assert outside.who_has(EGRESS4) == set()
    assert outside.who_has(EGRESS6) == set()
    assert not outside.left_from(first, 4)


def test_a_new_process_puts_tables_of_another_make_right_and_keeps_leases(world: World) -> None:
    first, _, outside = world
    first.claim(LONG)
    first.namespace.run(
        "nft -f -",
        script="flush chain inet outgate_vip local\nflush chain inet outgate_vip refreshing\n"
        "delete set inet outgate_vip fuse\nadd set inet outgate_vip fuse { type inet_service; }\n",
    )
    first.restarted()
    assert len(first.word(lambda gate: gate.start())) == 2
    assert outside.who_has(EGRESS4) == {first.mac}
    assert outside.who_has(EGRESS6) == {first.mac}
    assert first.word(lambda gate: gate.check()) is False


@pytest.mark.parametrize(
    "tampering",
    [
        "flush ruleset",
        "delete table arp outgate_vip",
        "flush chain inet outgate_vip leaving4",
        "flush chain arp outgate_vip refreshing",
        "flush set inet outgate_vip managed4",
        "flush map arp outgate_vip owned4",
        "add element arp outgate_vip owned4 { 198.51.100.8 : goto gw_1 }",
    ],
)
def test_what_somebody_has_tampered_with_is_put_back_and_leases_are_no_longer_than_before(
    world: World, tampering: str
) -> None:
    first, _, outside = world
    first.link(OTHER4)
    first.word(lambda gate: gate.manage(GATEWAY, (*BOTH, OTHER4)))
    until = first.claim(1.0)
    first.namespace.run(f"nft {tampering}")
    assert first.word(lambda gate: gate.check()) is True
    assert outside.who_has(EGRESS4, within=0.1) == {first.mac}
    assert outside.who_has(OTHER4, within=0.1) == set()
    assert first.word(lambda gate: gate.check()) is False
    threading.Event().wait(until + MARGIN - time.monotonic())
    assert outside.who_has(EGRESS4) == set()


def test_a_refresh_notices_by_itself_that_the_tables_are_gone(world: World) -> None:
    first, _, outside = world
    first.link(OTHER4)
    first.word(lambda gate: gate.manage(GATEWAY, (*BOTH, OTHER4)))
    first.claim(LONG)
    first.namespace.run("nft flush ruleset")
    first.word(lambda gate: gate.refresh(GATEWAY, until=time.monotonic() + LONG))
    assert outside.who_has(EGRESS6) == {first.mac}
    assert outside.who_has(OTHER4) == set()
    assert first.gate.repaired == 1


def test_writes_of_others_are_no_tampering(world: World) -> None:
    first, _, _ = world
    first.claim(LONG)
    first.namespace.run("nft add table inet somebody")
    assert first.word(lambda gate: gate.check()) is False


def test_what_a_gateway_gives_up_passes_and_nothing_is_left_at_the_end(world: World) -> None:
    first, _, outside = world
    first.claim(LONG)
    first.word(lambda gate: gate.forget(GATEWAY))
    assert outside.left_from(first, 4)
    first.word(GateKernel.remove)
    assert "outgate_vip" not in first.namespace.run("nft list ruleset")
