"""What is wrong is told from when it is seen until it is over."""

from ipaddress import ip_address

from unit.vip.shell.world import VIP, VIP2

from outgate.vip.protocol import Trouble
from outgate.vip.shell.troubles import (
    CONFLICT,
    FAILED,
    FAILSAFE,
    NAMED,
    OCCUPIED,
    QUIET,
    RECHECK,
    RECHECKED,
    UNKNOWN,
    Troubles,
)

GW, MAC = "internet", "02:ee:00:00:00:01"


def test_a_conflict_lasts_until_nobody_was_heard_for_a_while() -> None:
    troubles = Troubles()
    assert troubles.contest(GW, CONFLICT, VIP, mac=MAC, now=0.0)
    assert not troubles.contest(GW, CONFLICT, VIP, mac=MAC, now=30.0), "no news"
    assert troubles.now() == (Trouble(GW, CONFLICT, (str(VIP),), 1, MAC),)
    assert troubles.next_due() == 30.0 + QUIET
    assert troubles.expire(now=QUIET) == ()
    assert troubles.expire(now=30.0 + QUIET) == (VIP,)
    assert troubles.now() == ()
    assert troubles.contest(GW, CONFLICT, VIP, mac=MAC, now=200.0), "news again"


def test_one_answer_before_an_address_is_taken_may_have_been_a_member_that_asked_too() -> None:
    troubles = Troubles()
    troubles.contest(GW, OCCUPIED, VIP, mac=MAC, now=0.0)
    assert troubles.now() == ()
    before = troubles.version
    troubles.contest(GW, OCCUPIED, VIP, mac=MAC, now=1.0)
    assert troubles.version > before
    assert troubles.now() == (Trouble(GW, OCCUPIED, (str(VIP),), 1, MAC),)
    troubles.claimed([VIP])
    assert troubles.now() == ()


def test_an_address_that_was_lost_to_somebody_goes_on_being_contested() -> None:
    troubles = Troubles()
    troubles.contest(GW, CONFLICT, VIP, mac=MAC, now=0.0)
    assert troubles.contest(GW, OCCUPIED, VIP, mac=MAC, now=1.0), "news"
    assert [trouble.what for trouble in troubles.now()] == [OCCUPIED]


def test_a_way_back_that_fails_is_checked_anew_until_it_works() -> None:
    troubles = Troubles()
    assert troubles.path(GW, VIP, FAILED, now=0.0)
    assert troubles.now() == (Trouble(GW, FAILED, (str(VIP),), 1),)
    assert troubles.next_due() == RECHECK
    assert troubles.recheck(now=RECHECK - 1) == frozenset()
    assert troubles.recheck(now=RECHECK) == {VIP}
    assert troubles.recheck(now=RECHECK) == frozenset(), "asked already"
    assert not troubles.path(GW, VIP, FAILED, now=RECHECK + 3), "no news"
    assert troubles.next_due() == 2 * RECHECK + 3
    assert troubles.path(GW, VIP, "", now=2 * RECHECK + 4)
    assert troubles.now() == ()
    assert troubles.next_due() == float("inf")


def test_what_fails_is_checked_before_what_is_not_known_and_not_all_at_once() -> None:
    troubles = Troubles()
    for last in range(RECHECKED):
        troubles.path(GW, ip_address("198.51.100.0") + last, UNKNOWN, why="no router", now=0.0)
    troubles.path(GW, VIP, FAILED, now=1.0)
    again = troubles.recheck(now=40.0)
    assert len(again) == RECHECKED
    assert VIP in again


def test_the_way_back_of_what_is_held_no_longer_is_forgotten() -> None:
    troubles = Troubles()
    troubles.path(GW, VIP, FAILED, now=0.0)
    troubles.lost([VIP, VIP2])
    assert troubles.now() == ()


def test_a_way_back_that_works_from_the_start_is_no_change() -> None:
    troubles = Troubles()
    before = troubles.version
    assert not troubles.path(GW, VIP, "", now=0.0)
    assert troubles.version == before


def test_failsafe_is_told_as_long_as_it_lasts() -> None:
    troubles = Troubles()
    troubles.failsafe({GW: frozenset({VIP, VIP2})})
    assert troubles.now() == (Trouble(GW, FAILSAFE, (str(VIP), str(VIP2)), 2),)
    before = troubles.version
    troubles.failsafe({GW: frozenset({VIP, VIP2})})
    assert troubles.version == before
    troubles.failsafe({})
    assert troubles.now() == ()


def test_of_many_addresses_the_first_are_named() -> None:
    troubles = Troubles()
    many = [ip_address("198.51.100.0") + last for last in range(100)]
    for address in reversed(many):
        troubles.contest(GW, CONFLICT, address, mac=f"mac of {address}", now=0.0)
    (trouble,) = troubles.now()
    assert trouble.addresses == tuple(map(str, many[:NAMED]))
    assert (trouble.count, trouble.detail) == (100, "mac of 198.51.100.0")
