"""What becomes of the engine's decisions as moves, notes and counts."""

from collections.abc import Iterable
from ipaddress import ip_address

import pytest
from structlog.testing import capture_logs
from unit.vip.shell.world import VIP, VIP2

from outgate.api.view import IPAddress
from outgate.vip.engine.actions import Claim, Release, Report
from outgate.vip.engine.events import ApiFailed, LeasesRead
from outgate.vip.protocol import BOUNDS, Durations, GatewayNumbers, Move
from outgate.vip.shell.chronicle import KEPT, TOGETHER, Chronicle
from outgate.vip.shell.tally import Standing

GW, MAC = "internet", "02:ee:00:00:00:01"


@pytest.fixture
def chronicle() -> Chronicle:
    return Chronicle(wall=1_000.0)


def claim(*addresses: IPAddress, epoch: int = 7, source: str = "b", planned: bool = False) -> Claim:
    return Claim(GW, frozenset(addresses), epoch, 0.0, source, planned)


def numbers(chronicle: Chronicle, *, held: int = 0, epoch: int = 0) -> GatewayNumbers:
    (found,) = chronicle.tally.numbers(
        {GW: Standing(held, epoch, False)},
        chronicle.troubles.now(),
        api=True,
        realtime=False,
        refused={},
        unsent=0,
    ).gateways
    return found


def told(moves: Iterable[Move]) -> list[tuple[str, str, float]]:
    return [(move.node, move.why, move.took) for move in moves]


def test_a_crash_took_from_when_the_holder_was_last_heard(chronicle: Chronicle) -> None:
    chronicle.claimed(claim(VIP, VIP2), heard=10.0, now=10.42)
    (move,) = chronicle.moves()
    assert move == Move(GW, True, 1_010.42, 7, 7, 2, "b", "crash", 0.42)
    assert numbers(chronicle).claimed == {"planned": 0, "crash": 2, "free": 0}
    assert chronicle.notes.last()[-1].detail == "from b by epoch 7, within 0.42 s"


def test_a_planned_move_took_from_when_it_was_asked_for(chronicle: Chronicle) -> None:
    chronicle.asked([VIP], now=9.9)
    chronicle.claimed(claim(VIP, planned=True), heard=None, now=10.0)
    assert told(chronicle.moves()) == [("b", "planned", 0.1)]
    assert chronicle.notes.last()[-1].detail == "from b by epoch 7, as planned, within 0.10 s"


@pytest.mark.parametrize("source", ["", "b"])
def test_what_nobody_holds_takes_no_time_that_is_known(chronicle: Chronicle, source: str) -> None:
    chronicle.claimed(claim(VIP, source=source), heard=None, now=10.1)
    assert told(chronicle.moves()) == [(source, "free", 0.0)]
    assert numbers(chronicle).took == {}


def test_claims_that_belong_together_are_one_move(chronicle: Chronicle) -> None:
    chronicle.claimed(claim(VIP, epoch=7), heard=10.0, now=10.5)
    chronicle.claimed(claim(VIP2, epoch=8), heard=10.0, now=10.9)
    (move,) = chronicle.moves()
    assert (move.first, move.epoch, move.count, move.took) == (7, 8, 2, 0.9)
    chronicle.claimed(claim(VIP, epoch=9), heard=10.0, now=10.9 + TOGETHER)
    assert len(chronicle.moves()) == 2


def test_releases_say_why_and_to_whom(chronicle: Chronicle) -> None:
    chronicle.released(Release(GW, frozenset({VIP}), "moved", 0.5, "c"), epochs=[7], now=1.0)
    gone = Release(GW, frozenset({VIP2}), "answered elsewhere")
    chronicle.released(gone, epochs=[8], now=1.0)
    assert told(chronicle.moves()) == [("c", "moved", 0.0), ("", "answered elsewhere", 0.0)]
    assert not any(move.claimed for move in chronicle.moves())
    assert numbers(chronicle).released == {"moved": 1, "answered_elsewhere": 1}


def test_what_the_kernel_never_took_is_no_move(chronicle: Chronicle) -> None:
    chronicle.released(Release(GW, frozenset({VIP}), "lapsed"), epochs=[], now=1.0)
    assert chronicle.moves() == ()
    assert numbers(chronicle).released == {}
    assert chronicle.notes.last()[-1].what == "Released"


def test_the_last_moves_are_kept(chronicle: Chronicle) -> None:
    for number in range(KEPT + 3):
        chronicle.claimed(claim(VIP, epoch=number, source=f"n{number}"), heard=None, now=0.0)
    assert [move.epoch for move in chronicle.moves()] == list(range(3, KEPT + 3))


@pytest.mark.parametrize(
    ("what", "address", "level"),
    [
        ("Conflict", VIP, "warning"),
        ("Occupied", VIP, "warning"),
        ("ReturnPathFailed", VIP, "warning"),
        ("Failsafe", None, "warning"),
        ("FailsafeEnded", None, "info"),
        ("Deposed", None, "warning"),
    ],
)
def test_only_what_is_wrong_is_a_warning(
    chronicle: Chronicle, what: str, address: IPAddress | None, level: str
) -> None:
    with capture_logs() as logs:
        chronicle.reported(Report(GW, what, address, MAC), now=1.0)
    assert [(line["event"], line["log_level"]) for line in logs] == [(what, level)]
    assert [note.what for note in chronicle.notes.last()] == [what]


def test_a_way_back_that_works_is_told_where_it_did_not(chronicle: Chronicle) -> None:
    with capture_logs() as logs:
        chronicle.reported(Report(GW, "ReturnPathWorks", VIP), now=1.0)
        assert logs == []
        chronicle.reported(Report(GW, "ReturnPathFailed", VIP), now=2.0)
        chronicle.reported(Report(GW, "ReturnPathWorks", VIP), now=3.0)
    assert [line["log_level"] for line in logs] == ["warning", "info"]
    assert numbers(chronicle).returns == {"works": 2, "failed": 1, "unknown": 0}


def test_what_lasts_is_noted_once_and_counted_each_time(chronicle: Chronicle) -> None:
    for now in (1.0, 11.0, 21.0):
        chronicle.reported(Report(GW, "Conflict", VIP, MAC), now=now)
        chronicle.reported(Report(GW, "ReturnPathFailed", VIP2), now=now)
    assert [note.what for note in chronicle.notes.last()] == ["Conflict", "ReturnPathFailed"]
    found = numbers(chronicle)
    assert found.conflicts == {"held": 3, "wanted": 0}
    assert found.returns == {"works": 0, "failed": 3, "unknown": 0}
    assert (found.contested, found.lost) == (1, 1)
    chronicle.reported(Report(GW, "ReturnPathWorks", VIP2), now=30.0)
    assert numbers(chronicle).lost == 0


def test_a_way_back_that_can_not_be_found_out_is_no_warning(chronicle: Chronicle) -> None:
    with capture_logs() as logs:
        chronicle.unknown(GW, VIP, why="no router is known", now=1.0)
        chronicle.unknown(GW, VIP, why="no router is known", now=31.0)
    assert [line["log_level"] for line in logs] == ["info"]
    found = numbers(chronicle)
    assert (found.unknown, found.returns["unknown"]) == (1, 2)


def test_what_claims_took_is_counted_by_its_length(chronicle: Chronicle) -> None:
    took = (0.4, 0.45, 1_000.0)
    for number, one in enumerate(took):
        chronicle.claimed(claim(ip_address("198.51.100.0") + number), heard=0.0, now=one)
    expected = [0] * (len(BOUNDS) + 1)
    expected[BOUNDS.index(0.5)], expected[-1] = 2, 1
    assert numbers(chronicle).took == {"crash": Durations(tuple(expected), sum(took))}


def test_answers_about_leases_are_counted_by_kind(chronicle: Chronicle) -> None:
    chronicle.tally.lease(LeasesRead(1, ()))
    chronicle.tally.lease(ApiFailed(2))
    chronicle.tally.lease(ApiFailed(3))
    said = chronicle.tally.numbers({}, (), api=False, realtime=False, refused={}, unsent=0)
    assert said.leases == {"read": 1, "written": 0, "refused": 0, "failed": 2}


def test_each_gateway_is_told_how_it_stands_and_a_former_one_not_any_more(
    chronicle: Chronicle,
) -> None:
    chronicle.claimed(claim(VIP), heard=None, now=1.0)
    found = numbers(chronicle, held=3, epoch=9)
    assert (found.held, found.epoch, found.claimed["free"]) == (3, 9, 1)
    chronicle.tally.forget(GW)
    assert numbers(chronicle).claimed["free"] == 0
