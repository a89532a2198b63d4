"""Who knows which ports were changed where."""

import msgspec
import pytest

from outgate.vip.flows import remapped as module
from outgate.vip.flows.entries import LOCAL, Seen
from outgate.vip.flows.records import TCP, FlowRecord
from outgate.vip.flows.remapped import Changes, Others, Own, remapped

POD, OUT = bytes((10, 244, 1, 5)), bytes((203, 0, 113, 10))
PLAIN = FlowRecord(TCP, 7, 1, POD, OUT, 40000, 443, 40000)
CHANGED = msgspec.structs.replace(PLAIN, port=1025)
OTHER = FlowRecord(TCP, 7, 1, POD, OUT, 40001, 443, 40001)


def seen(*, port: int, mark: int) -> Seen:
    return Seen(TCP, POD, OUT, 40000, 443, OUT, 443, bytes(4), port, mark, True, True)


@pytest.mark.parametrize(
    ("port", "mark", "expected"),
    [
        (1025, 7 << 16 | 1, CHANGED),
        (40000, 7 << 16 | 1, None),
        (1025, 7 << 16 | LOCAL | 1, None),
        (1025, 0, None),
    ],
    ids=["changed", "kept", "of an own pod", "not ours"],
)
def test_only_changed_flows_of_the_tunnel_are_told(
    port: int, mark: int, expected: FlowRecord | None
) -> None:
    assert remapped(seen(port=port, mark=mark)) == expected


def test_news_is_told_once() -> None:
    own = Own()

    assert own.began(CHANGED) and not own.began(CHANGED)
    assert own.ended(CHANGED) and not own.ended(CHANGED)


def test_a_listing_finds_what_ended_without_a_word() -> None:
    own = Own()
    own.began(CHANGED)
    own.began(OTHER)

    own.list()
    own.began(OTHER)

    assert own.listed() == (CHANGED,)
    assert list(own) == [OTHER]


def test_what_ends_during_a_listing_is_not_taken_for_there() -> None:
    own = Own()
    own.list()
    own.began(CHANGED)
    own.ended(CHANGED)

    assert own.listed() == () and len(own) == 0


def test_changed_flows_get_their_port_and_come_first() -> None:
    others = Others()
    others.hear("first", Changes(added=(CHANGED,)))

    assert list(others.amended([OTHER, PLAIN])) == [CHANGED, OTHER]


def test_the_last_holders_word_counts() -> None:
    others = Others()
    others.hear("first", Changes(added=(CHANGED,)))
    others.hear("second", Changes(added=(msgspec.structs.replace(PLAIN, port=1026),)))

    ports = [next(others.amended([PLAIN], holder=name)).port for name in ("first", "second")]

    assert ports == [1025, 1026]


@pytest.mark.parametrize("changes", [Changes(gone=(CHANGED,)), Changes(fresh=True)])
def test_what_is_taken_back_counts_no_more(changes: Changes) -> None:
    others = Others()
    others.hear("first", Changes(added=(CHANGED,)))
    others.hear("first", changes)

    assert list(others.amended([PLAIN])) == [PLAIN]


def test_a_forgotten_member_says_nothing() -> None:
    others = Others()
    others.hear("first", Changes(added=(CHANGED,)))
    others.forget("first")

    assert list(others.amended([PLAIN])) == [PLAIN]


def test_a_member_is_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 1)
    others = Others()
    others.hear("first", Changes(added=(CHANGED, msgspec.structs.replace(OTHER, port=1))))

    assert others.ignored == 1
    assert list(others.amended([OTHER, PLAIN])) == [CHANGED, OTHER]
