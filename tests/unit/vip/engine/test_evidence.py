"""How long a node may hold, by what it knows."""

from outgate.vip.engine.evidence import FOREVER, Evidence
from outgate.vip.engine.peers import NEVER
from outgate.vip.engine.settings import DEFAULTS


def until(newest: float, oldest: float, out_known: float = FOREVER, leased: float = NEVER) -> float:
    return Evidence(newest, oldest, out_known, leased).until(settings=DEFAULTS)


def test_one_member_that_acknowledges_is_good_for_the_lease() -> None:
    assert until(10.0, 10.0) == 10.0 + DEFAULTS.lease


def test_the_slowest_member_bounds_it_by_the_isolation() -> None:
    assert until(10.0, 9.3) == 9.3 + DEFAULTS.isolation


def test_a_member_that_never_acknowledged_is_no_evidence() -> None:
    assert until(10.0, NEVER) == NEVER


def test_with_all_others_deposed_the_reading_of_that_is_the_evidence() -> None:
    assert until(FOREVER, FOREVER, out_known=7.0) == 7.0 + DEFAULTS.settle


def test_a_renewed_lease_stands_against_silence() -> None:
    assert until(3.0, 3.0, leased=12.0) == 12.0


def test_the_lease_is_asked_for_after_a_missed_acknowledgement_and_not_before() -> None:
    fresh = Evidence(10.0, 10.0, FOREVER, NEVER)
    assert not fresh.wants_lease(now=10.13, settings=DEFAULTS)
    assert fresh.wants_lease(now=10.15, settings=DEFAULTS)
