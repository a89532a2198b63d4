"""What moved is said until it is known."""

import math
from itertools import pairwise

import pytest
from unit.vip.peer.talk import Talk, addresses

from outgate.vip.engine.words import Claim
from outgate.vip.peer.message import Message
from outgate.vip.peer.moves import BURST, GAPS, REFRESH, Moves
from outgate.vip.peer.seal import DATAGRAM_MAX, Kind, read

CLAIMS = {"g": (Claim(3, addresses(0, 2)),)}
MORE = {"g": (Claim(3, addresses(0, 2)), Claim(4, addresses(10, 1)))}
NEWS = {"g": (Claim(4, addresses(10, 1)),)}


def told(talk: Talk, to: str) -> int:
    return sum(read(data).kind == Kind.MOVED for _, node, data in talk.wire if node == to)


def test_all_nodes_learn_at_once_and_are_told_once() -> None:
    talk = Talk("a", "b", "c")
    talk.greet()
    talk.codecs["a"].moved(CLAIMS, CLAIMS, now=talk.now)
    talk.due(20.0)
    assert talk.moves("b") == talk.moves("c") == [CLAIMS]
    assert told(talk, "b") == 1


def test_nodes_that_never_spoke_learn_after_a_hello() -> None:
    talk = Talk("a", "b", "c")
    talk.codecs["a"].moved(CLAIMS, CLAIMS, now=talk.now)
    talk.due(0.0)
    assert talk.moves("b") == talk.moves("c") == [CLAIMS]


def test_news_are_small_however_much_is_held() -> None:
    talk = Talk("a", "b")
    talk.greet()
    held = {"g": (Claim(3, addresses(0, 16_384)),)}
    talk.codecs["a"].moved(held | {"h": NEWS["g"]}, {"h": NEWS["g"]}, now=talk.now)
    talk.due(0.0)
    assert talk.moves("b") == [{"h": NEWS["g"]}]
    assert told(talk, "b") == 1


def test_what_is_lost_is_said_again_with_growing_gaps_and_not_for_ever() -> None:
    talk = Talk("a", "b")
    talk.greet()
    times: list[float] = []

    def moved(_from: str, _to: str, data: bytes) -> bool:
        if read(data).kind == Kind.MOVED:
            times.append(talk.now)
            return True
        return False

    talk.lost = moved
    talk.codecs["a"].moved(CLAIMS, CLAIMS, now=talk.now)
    talk.due(REFRESH - 1)
    gaps = [round(after - before, 6) for before, after in pairwise(times)]
    assert gaps == list(GAPS)


def test_who_missed_it_all_learns_within_a_refresh() -> None:
    talk = Talk("a", "b")
    talk.greet()
    talk.lost = lambda _from, to, _data: to == "b"
    talk.codecs["a"].moved(CLAIMS, CLAIMS, now=talk.now)
    talk.codecs["a"].moved(MORE, NEWS, now=talk.now)
    talk.due(REFRESH - 1)
    talk.lost = lambda _from, _to, _data: False
    talk.due(REFRESH)
    assert talk.moves("b") == [MORE]


@pytest.mark.parametrize("seconds", [1.0, REFRESH - 5], ids=["tried still", "given up"])
def test_who_missed_it_learns_at_once_when_the_network_seems_to_have_healed(seconds: float) -> None:
    talk = Talk("a", "b", "c")
    talk.greet()
    talk.lost = lambda _from, to, _data: to == "b"
    talk.codecs["a"].moved(CLAIMS, CLAIMS, now=talk.now)
    talk.due(seconds / 2)
    talk.codecs["a"].moved(MORE, NEWS, now=talk.now)
    talk.due(seconds / 2)
    talk.lost = lambda _from, _to, _data: False
    talk.codecs["a"].again(now=talk.now)
    talk.due(0.0)
    assert {claim for moved in talk.moves("b") for claim in moved["g"]} == set(MORE["g"])
    assert len(talk.moves("c")) == 2


def test_who_restarts_learns_within_a_refresh() -> None:
    talk = Talk("a", "b")
    talk.greet()
    talk.codecs["a"].moved(CLAIMS, CLAIMS, now=talk.now)
    talk.due(1.0)
    talk.start("b", boot=2)
    talk.due(REFRESH + 1)
    assert talk.moves("b") == [CLAIMS]


def test_who_restarts_and_then_misses_everything_learns_within_another_refresh() -> None:
    talk = Talk("a", "b")
    talk.greet()
    talk.codecs["a"].moved(CLAIMS, CLAIMS, now=talk.now)
    talk.due(1.0)
    talk.start("b", boot=2)
    talk.lost = lambda _from, _to, data: read(data).kind == Kind.MOVED
    talk.due(REFRESH + 10)
    talk.lost = lambda _from, _to, _data: False
    talk.due(REFRESH)
    assert talk.moves("b") == [CLAIMS]


def test_who_joins_the_mesh_learns_at_once() -> None:
    talk = Talk("a", "b")
    a = talk.codecs["a"]
    a.know({"a": talk.mesh["a"]}, now=talk.now)
    a.moved(CLAIMS, CLAIMS, now=talk.now)
    talk.due(1.0)
    assert talk.moves("b") == []
    a.know(talk.mesh, now=talk.now)
    talk.due(0.0)
    assert talk.moves("b") == [CLAIMS]


def test_a_lost_acknowledgement_is_given_again() -> None:
    talk = Talk("a", "b")
    talk.greet()
    talk.lost = lambda _from, to, _data: to == "a" and talk.now < 1.05
    talk.codecs["a"].moved(CLAIMS, CLAIMS, now=talk.now)
    talk.due(10.0)
    assert talk.moves("b") == [CLAIMS] * 3
    assert told(talk, "b") == 3


def test_what_does_not_fit_a_datagram_is_split() -> None:
    talk = Talk("a", "b")
    talk.greet()
    scattered = {"g": (Claim(1, frozenset(a + 97 * n for n, a in enumerate(addresses(0, 9000)))),)}
    talk.codecs["a"].moved(scattered, scattered, now=talk.now)
    talk.due(1.0)
    assert talk.moves("b") == [scattered]
    assert told(talk, "b") > 1
    assert max(len(data) for _, _, data in talk.wire) <= DATAGRAM_MAX


def test_with_nothing_held_nothing_is_said() -> None:
    talk = Talk("a", "b")
    talk.greet()
    talk.codecs["a"].moved(CLAIMS, CLAIMS, now=talk.now)
    talk.due(1.0)
    talk.codecs["a"].moved({}, {}, now=talk.now)
    assert talk.codecs["a"].next_due() == float("inf")


def test_thousands_of_nodes_are_told_in_bursts() -> None:
    moves = Moves()
    nodes = [f"n{n:04}" for n in range(3000)]
    moves.know(nodes, now=0.0)
    moves.change(None, Message(1, bytes), now=0.0)
    now = 0.0
    reached: list[str] = []
    times: set[float] = set()
    while len(reached) < len(nodes):
        burst = [node for node, _ in moves.due(now=now)]
        assert len(burst) <= BURST
        reached += burst
        times.add(now)
        for node in burst:
            moves.acknowledged(node, 1)
        now = max(now, moves.next_due())
    assert reached == nodes
    assert len(times) == math.ceil(len(nodes) / BURST)
    assert now < 0.1
