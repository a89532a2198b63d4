"""Which flows a holder has been told of, and when it is told all of them again."""

import pytest

from outgate.vip.shell.told import AGAIN, RETRY, Told


def tell(told: Told, holder: str, *flows: int, now: float, anew: bool = False) -> set[int]:
    """Those of the flows, of id 7, that the holder is told now."""
    known = told.known(holder, [7], now=now, anew=anew)[7]
    fresh = set(flows) - known
    known |= fresh
    return fresh


def test_what_began_since_is_told_and_nothing_twice() -> None:
    told = Told()
    assert tell(told, "b", 1, 2, now=0.0) == {1, 2}
    assert tell(told, "b", 1, 2, 3, now=1.0) == {3}
    assert tell(told, "b", 1, 2, 3, now=2.0) == set()


@pytest.mark.parametrize(
    ("holder", "now", "anew"),
    [("c", 1.0, False), ("b", AGAIN, False), ("b", 1.0, True)],
    ids=["another holder", "much later", "who asks for all"],
)
def test_everything_is_told_again_to(holder: str, now: float, anew: bool) -> None:
    told = Told()
    tell(told, "b", 1, 2, now=0.0)
    assert tell(told, holder, 1, 2, now=now, anew=anew) == {1, 2}


def test_an_address_that_comes_back_at_once_finds_its_holder_told_again() -> None:
    told = Told()
    assert tell(told, "b", 1, now=0.0) == {1}
    assert tell(told, "c", 1, now=2.0) == {1}
    assert tell(told, "b", 1, now=4.0) == {1}, "it has let go of them since"


def test_what_did_not_arrive_is_told_again_soon_and_not_for_ever() -> None:
    told = Told()
    tell(told, "b", 1, now=0.0)
    told.lost("b", now=1.0)
    assert told.next_due() == 1.0 + RETRY
    assert told.again(now=1.0 + RETRY) == [("b", frozenset((7,)))]
    assert tell(told, "b", 1, now=1.0 + RETRY) == {1}
    told.lost("b", now=AGAIN - RETRY / 2)
    assert told.again(now=AGAIN + RETRY) == []


def test_a_stream_that_broke_is_no_matter_to_who_was_told_nothing() -> None:
    told = Told()
    tell(told, "b", 1, now=0.0)
    told.lost("192.0.2.3", now=1.0)
    assert told.next_due() == AGAIN


def test_nothing_is_kept_for_longer_than_it_is_of_use() -> None:
    told = Told()
    tell(told, "b", 1, now=0.0)
    assert told.again(now=AGAIN) == []
    assert told.next_due() == float("inf")
