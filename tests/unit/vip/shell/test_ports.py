"""Which members know of which changed ports."""

from collections.abc import Iterator

import msgspec
import pytest

from outgate.vip.flows.errors import TableRefused
from outgate.vip.flows.records import TCP, FlowRecord
from outgate.vip.flows.remapped import Changes, Own
from outgate.vip.shell.ports import KEEP, LOOK, RESYNC, Ports

FLOW = FlowRecord(TCP, 7, 1, bytes((10, 244, 1, 5)), bytes((203, 0, 113, 10)), 40000, 443, 1025)
OTHER = msgspec.structs.replace(FLOW, from_=40001, port=1026)
PLAIN = msgspec.structs.replace(FLOW, port=40000)


class FakeWatch:
    """Says what the test puts there. there: what a listing finds."""

    def __init__(self) -> None:
        self.own, self.overrun = Own(), True
        self.news = Changes()
        self.there: list[FlowRecord] = []
        self.broken = False

    def fileno(self) -> int:
        return -1

    def turn(self) -> Changes:
        if self.broken:
            raise TableRefused("events")
        news, self.news = self.news, Changes()
        return news

    def begins(self, record: FlowRecord) -> None:
        self.own.began(record)
        self.there.append(record)
        self.news = Changes(added=(*self.news.added, record))

    def resync(self) -> Iterator[Changes]:
        self.overrun = False
        self.own.list()
        for record in self.there:
            yield Changes(added=(record,) if self.own.began(record) else ())
        yield Changes(gone=self.own.listed())

    def close(self) -> None:
        pass


class World:
    """One node's ports. heard: what the members have made of what they were told."""

    def __init__(self) -> None:
        self.boots = {"b": 1, "c": 1}
        self.heard: dict[str, dict[int, int]] = {}
        self.said = 0
        self.ports = Ports(self._say, boot_of=lambda node: self.boots.get(node, 0))
        self.watch = FakeWatch()
        self.now = 0.0

    def _say(self, member: str, changes: Changes) -> None:
        self.said += 1
        known = self.heard.setdefault(member, {})
        if changes.fresh:
            known.clear()
        for record in changes.gone:
            known.pop(record.from_, None)
        known |= {record.from_: record.port for record in changes.added}

    def run(self, seconds: float) -> None:
        """Turns whenever it is due."""
        end = self.now + seconds
        self.ports.turn(now=self.now)
        while (due := self.ports.next_due()) <= end:
            self.now = max(self.now, due)
            self.ports.turn(now=self.now)
        self.now = end


@pytest.fixture
def world() -> World:
    made = World()
    made.watch.there.append(FLOW)
    made.ports.begin(made.watch)
    made.ports.know(frozenset(("b", "c")))
    made.run(LOOK)
    return made


def test_all_members_know_what_there_was_and_what_begins(world: World) -> None:
    assert world.heard == {"b": {40000: 1025}, "c": {40000: 1025}}
    world.watch.begins(OTHER)
    world.run(0.0)
    assert world.heard["b"] == world.heard["c"] == {40000: 1025, 40001: 1026}


def test_nothing_is_said_where_nothing_has_changed(world: World) -> None:
    before = world.said
    world.run(RESYNC - 10.0)
    assert world.said == before


@pytest.mark.parametrize("how", ["new", "restarted", "missed", "met later"])
def test_who_can_not_know_is_told_everything(world: World, how: str) -> None:
    world.watch.begins(OTHER)
    world.run(0.0)
    if how == "new":
        world.boots["d"] = 1
        world.ports.know(frozenset("bcd"))
    elif how == "restarted":
        world.heard["c"], world.boots["c"] = {}, 2
    elif how == "missed":
        world.heard["c"] = {}
        world.ports.lost("c")
    else:
        world.ports.know(frozenset("bcd"))
        world.run(10.0)
        assert "d" not in world.heard
        world.boots["d"] = 1
    world.run(LOOK)
    assert world.heard["d" if "d" in world.boots else "c"] == {40000: 1025, 40001: 1026}


def test_who_is_no_member_is_told_nothing(world: World) -> None:
    world.ports.know(frozenset("b"))
    world.watch.begins(OTHER)
    world.run(LOOK)
    assert world.heard["c"] == {40000: 1025}


def test_what_ended_without_a_word_is_found_out_in_time(world: World) -> None:
    world.watch.there.clear()
    world.run(RESYNC)
    assert world.heard == {"b": {}, "c": {}}


def test_lost_events_are_made_good_at_once(world: World) -> None:
    world.watch.there.append(OTHER)
    world.watch.overrun = True
    world.run(0.0)
    assert world.heard["b"] == {40000: 1025, 40001: 1026}


def test_a_kernel_that_says_nothing_now_is_asked_again(world: World) -> None:
    world.watch.broken = True
    world.run(1.0)
    world.watch.broken = False
    world.watch.begins(OTHER)
    world.run(0.0)
    assert world.heard["b"] == {40000: 1025, 40001: 1026}


def port_here(world: World) -> int:
    return next(world.ports.others.amended((PLAIN,))).port


def test_a_member_that_has_died_is_believed_for_as_long_as_it_is_a_member(world: World) -> None:
    world.ports.hear("c", Changes(added=(FLOW,)))
    world.boots["c"] = 0
    world.run(10 * KEEP)
    assert port_here(world) == 1025


def test_who_is_no_member_any_more_is_forgotten_when_its_addresses_have_moved(
    world: World,
) -> None:
    world.ports.hear("c", Changes(added=(FLOW,)))
    world.ports.know(frozenset("b"))
    world.run(KEEP / 2)
    assert port_here(world) == 1025, "its flows are on their way"
    world.run(KEEP)
    assert port_here(world) == 40000
    assert world.ports.others.nodes == set()


def test_who_comes_back_or_goes_on_speaking_is_not_forgotten(world: World) -> None:
    world.ports.hear("c", Changes(added=(FLOW,)))
    world.ports.know(frozenset("b"))
    world.run(KEEP / 2)
    world.ports.know(frozenset("bc"))
    world.run(2 * KEEP)
    assert port_here(world) == 1025
    world.ports.know(frozenset("b"))
    world.run(KEEP - 1)
    world.ports.hear("c", Changes(added=(OTHER,)))
    world.run(KEEP / 2)
    assert port_here(world) == 1025
