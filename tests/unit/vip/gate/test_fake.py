"""The fake has the kernel's refusals; tests/kernel/vip/test_gate.py has the kernel's."""

from ipaddress import ip_address

import pytest

from outgate.vip.engine.events import Adopted
from outgate.vip.gate import Gate, GateRefused, Lapsed
from outgate.vip.gate.fake import FakeGate

A, B = ip_address("198.51.100.7"), ip_address("2001:db8:e::7")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> FakeGate:
    made = FakeGate(clock)
    spoken_to: Gate = made
    spoken_to.manage("one", [A, B])
    return made


def test_what_is_managed_is_silent_until_it_is_claimed_and_again_after_the_lease(
    gate: FakeGate, clock: Clock
) -> None:
    assert not gate.answers(A)
    assert not gate.passes(A)
    gate.claim("one", [A], epoch=1, until=100.25)
    assert gate.answers(A)
    assert not gate.answers(B)
    clock.now = 100.25
    assert not gate.answers(A)
    with pytest.raises(Lapsed):
        gate.refresh("one", until=101.0)


def test_a_claim_after_a_lapse_brings_back_nothing_else(gate: FakeGate, clock: Clock) -> None:
    gate.claim("one", [A], epoch=1, until=100.25)
    clock.now = 100.3
    gate.claim("one", [B], epoch=2, until=101.0)
    assert not gate.answers(A)
    assert gate.answers(B)


def test_a_second_claim_makes_no_lease_longer(gate: FakeGate, clock: Clock) -> None:
    gate.claim("one", [A], epoch=1, until=100.2)
    gate.claim("one", [B], epoch=1, until=100.5)
    clock.now = 100.2
    assert not gate.answers(A)
    assert not gate.answers(B)


def test_after_a_planned_move_it_passes_on_for_a_while(gate: FakeGate, clock: Clock) -> None:
    gate.claim("one", [A], epoch=1, until=105.0)
    gate.release([A], pass_on=1.0)
    assert not gate.answers(A)
    assert gate.passes(A)
    clock.now = 101.0
    assert not gate.passes(A)


def test_what_lives_is_adopted(clock: Clock) -> None:
    lives, lapsed = Adopted("one", A, 3, 100.2), Adopted("two", B, 3, 99.9)
    gate = FakeGate(clock, adopted=[lives, lapsed])
    assert gate.start() == (lives,)
    gate.refresh("one", until=100.4)
    clock.now = 100.3
    assert gate.answers(A)


def test_nothing_is_claimed_for_a_gateway_that_was_not_told(clock: Clock) -> None:
    with pytest.raises(GateRefused):
        FakeGate(clock).claim("two", [A], epoch=1, until=101.0)


def test_it_refuses_when_told_to(gate: FakeGate) -> None:
    gate.refused = "no nftables here"
    with pytest.raises(GateRefused, match="no nftables"):
        gate.check()
