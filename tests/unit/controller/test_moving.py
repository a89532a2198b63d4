"""When many moves are described: not while they go on."""

import pytest

from outgate.api.policy import AssignedEIP, PolicyStatus
from outgate.controller.moving import FEW, MOST, REST, Moving, describes, put_off

MANY = range(FEW + 1)
ONE, OTHER = {("gw", "203.0.113.7"): "node-a"}, {("gw", "203.0.113.7"): "node-b"}


def test_many_wait_until_the_addresses_have_come_to_rest() -> None:
    moving = Moving().seen(ONE, now=100.0)
    assert put_off(MANY, moving, now=100.0) == 100.0 + REST
    assert put_off(MANY, moving, now=100.0 + REST) is None


def test_a_look_that_shows_the_same_is_no_move() -> None:
    moving = Moving().seen(ONE, now=100.0)
    assert moving.seen(dict(ONE), now=101.0) is moving


def test_where_moves_never_end_they_are_described_all_the_same() -> None:
    moving, now = Moving(), 100.0
    while now < 100.0 + MOST:
        moving = moving.seen(OTHER if moving.holders == ONE else ONE, now=now)
        assert put_off(MANY, moving, now=now) is not None
        now += REST / 2
    assert put_off(MANY, moving, now=now) is None


def test_moves_after_a_rest_are_waited_for_anew() -> None:
    moving = Moving().seen(ONE, now=100.0).seen(OTHER, now=200.0)
    assert put_off(MANY, moving, now=200.0) == 200.0 + REST


def test_few_are_written_at_once() -> None:
    assert put_off(range(FEW), Moving().seen(ONE, now=100.0), now=100.0) is None


@pytest.mark.parametrize(
    ("after", "only"),
    [
        (PolicyStatus(gateway="gw", eip=AssignedEIP(ipv4="203.0.113.7"), node="node-b"), True),
        (PolicyStatus(gateway="gw", eip=AssignedEIP(ipv4="203.0.113.9"), node="node-a"), False),
        (PolicyStatus(gateway="other", eip=AssignedEIP(ipv4="203.0.113.7")), False),
    ],
)
def test_what_pods_leave_by_is_no_description(after: PolicyStatus, only: bool) -> None:
    before = PolicyStatus(gateway="gw", eip=AssignedEIP(ipv4="203.0.113.7"), node="node-a")
    assert describes(before, after) is only
