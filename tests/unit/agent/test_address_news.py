"""Moves and troubles as the status shows them."""

from outgate.agent.address_news import NO_NEWS, News, news_of
from outgate.agent.holding import PATIENCE
from outgate.api.tunnel import MOVES_MAX, AddressMove, AddressTrouble
from outgate.vip.protocol import Move, Report, Trouble

SAID = Report(
    1,
    moves=(
        Move("gw", True, 1_767_268_800.4, 7, 8, 3, "node-b", "crash", 0.4123),
        Move("gw", False, 1_767_268_801.0, 8, 8, 1, "node-c", "moved"),
    ),
    troubles=(Trouble("gw", "Conflict", ("203.0.113.7",), 1, "02:00:5e:00:53:01"),),
)
SHOWN = News(
    (
        AddressMove(
            gateway="gw",
            kind="Claimed",
            first_epoch=7,
            epoch=8,
            count=3,
            node="node-b",
            why="crash",
            took_milliseconds=412,
            time="2026-01-01T12:00:00Z",
        ),
        AddressMove(
            gateway="gw",
            kind="Released",
            first_epoch=8,
            epoch=8,
            count=1,
            node="node-c",
            why="moved",
            time="2026-01-01T12:00:01Z",
        ),
    ),
    (
        AddressTrouble(
            gateway="gw",
            reason="Conflict",
            addresses=("203.0.113.7",),
            count=1,
            message="02:00:5e:00:53:01",
        ),
    ),
)


def test_all_that_is_known_is_shown() -> None:
    assert news_of(SAID, before=NO_NEWS, silent=0.0) == SHOWN


def test_of_a_vip_process_that_is_away_the_last_word_stays_for_a_while() -> None:
    assert news_of(None, before=SHOWN, silent=PATIENCE - 1) == SHOWN
    assert news_of(None, before=SHOWN, silent=PATIENCE) == News(SHOWN.moves)


def test_the_moves_of_a_former_process_stay_until_there_is_another() -> None:
    assert news_of(Report(1), before=SHOWN, silent=0.0) == News(SHOWN.moves)
    another = Report(1, moves=SAID.moves[1:])
    assert news_of(another, before=SHOWN, silent=0.0) == News(SHOWN.moves[1:])


def test_no_more_is_shown_than_the_api_takes() -> None:
    moves = tuple(Move("gw", True, 0.0, epoch, epoch, 1) for epoch in range(MOVES_MAX + 5))
    trouble = Trouble("gw", "w" * 70, tuple("a" * 20), 20, "d" * 300)
    shown = news_of(Report(1, moves=moves, troubles=(trouble,)), before=NO_NEWS, silent=0.0)
    assert [move.epoch for move in shown.moves] == list(range(5, MOVES_MAX + 5))
    (one,) = shown.troubles
    assert (len(one.reason), len(one.addresses), len(one.message)) == (64, 8, 256)
