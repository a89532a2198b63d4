"""Who is told of which flows when addresses move, and what is left of them at the end."""

import time
from collections.abc import Iterator

import msgspec
import pytest
from unit.vip.shell.flow_fakes import GATEWAY, MEMBERS, VIP, VIP2, Flows, flow, pod

from outgate.vip.shell.making import BUDGET, LINGER
from outgate.vip.shell.ports import KEEP


@pytest.fixture
def world() -> Iterator[Flows]:
    made = Flows()
    yield made
    made.close()


def moved(world: Flows, at: str, *, of: str = "a") -> None:
    """As planned."""
    world.prepare(at, VIP, holder=of)
    world.run(0.5)
    world.release(of, VIP, to=at)
    world.claim(at, VIP, came_from=of)
    world.run(0.5)


def test_before_a_planned_move_all_flows_are_there(world: Flows) -> None:
    world.begin(flow("w", 1000), flow("w", 1001), flow("c", 1002), flow("w", 2000, id_=8))
    world.prepare("b", VIP)
    world.run(0.5)
    assert world.prepared == [(GATEWAY, frozenset((VIP,)))]
    assert world.there("b") == {1000: 1000, 1001: 1001, 1002: 1002}


def test_after_a_crash_the_new_holder_is_told_as_soon_as_it_is_known(world: Flows) -> None:
    world.begin(flow("w", 1000), flow("c", 1001))
    world.cut.add("a")
    world.claim("b", VIP)
    world.run(0.5)
    assert world.there("b") == {1000: 1000, 1001: 1001}


def test_an_address_is_prepared_as_soon_as_its_own_flows_are_there(world: Flows) -> None:
    world.begin(flow("w", 1000), *(flow("w", 2000 + number, id_=8) for number in range(50)))
    world.prepare("b", VIP, VIP2)
    world.run(1.5)
    assert world.prepared == [(GATEWAY, frozenset((VIP,))), (GATEWAY, frozenset((VIP2,)))]
    assert len(world.there("b")) == 51


def test_a_node_that_says_nothing_holds_it_up_until_its_time_is_over(world: Flows) -> None:
    world.boots["c"] = 0
    world.begin(flow("w", 1000))
    world.prepare("b", VIP, within=3.0)
    world.run(2.9)
    assert (world.prepared, world.there("b")) == ([], {1000: 1000})
    world.run(0.2)
    assert world.prepared == [(GATEWAY, frozenset((VIP,)))]


def test_a_stream_that_breaks_is_made_good(world: Flows) -> None:
    world.begin(flow("w", 1000))
    world.cut.add("w")
    world.prepare("b", VIP)
    world.run(0.3)
    world.cut.clear()
    world.run(0.3)
    assert world.prepared == [(GATEWAY, frozenset((VIP,)))]
    assert world.there("b") == {1000: 1000}


def test_what_did_not_reach_the_holder_of_a_crash_is_told_again(world: Flows) -> None:
    world.begin(flow("w", 1000))
    world.cut.add("b")
    world.claim("b", VIP)
    world.nodes["w"].moved("b", (VIP,), now=world.now)
    world.run(1.0)
    assert world.there("b") == {}
    world.cut.clear()
    world.run(1.0)
    assert world.there("b") == {1000: 1000}


def test_what_begins_while_the_address_is_on_its_way_is_told_as_well(world: Flows) -> None:
    world.begin(flow("w", 1000))
    world.prepare("b", VIP)
    world.run(0.5)
    world.begin(flow("w", 1001))
    world.claim("b", VIP)
    world.run(0.5)
    assert world.there("b") == {1000: 1000, 1001: 1001}
    assert world.tables["b"].log.count("made 1000") == 1, "once is enough"


def test_an_address_that_comes_back_at_once_finds_its_flows(world: Flows) -> None:
    world.begin(flow("w", 1000))
    moved(world, "b")
    moved(world, "a", of="b")
    assert world.there("a") == {1000: 1000}
    world.run(LINGER)
    assert world.there("a") == {1000: 1000}
    assert world.there("b") == {}


def test_flows_that_were_told_early_in_a_crash_outlast_what_was_here_before(world: Flows) -> None:
    world.begin(flow("w", 1000))
    moved(world, "b")
    world.run(LINGER - 2.0)
    world.prepare("a", VIP, holder="b")
    world.run(3.0)
    world.claim("a", VIP, came_from="b")
    world.run(0.5)
    assert world.there("a") == {1000: 1000}


def test_what_was_told_for_a_move_that_does_not_happen_is_forgotten(world: Flows) -> None:
    world.begin(flow("w", 1000))
    world.prepare("b", VIP)
    world.run(0.5)
    assert world.there("b") == {1000: 1000}
    world.run(70.0)
    assert world.there("b") == {}


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_holder_whose_lease_lapses_for_a_moment_has_its_flows_still(
    world: Flows, elsewhere: bool
) -> None:
    world.begin(flow("w", 1000))
    world.claim("b", VIP)
    world.run(0.5)
    for _ in range(5):
        world.release("b", VIP, pass_on=0.0)
        world.run(0.5)
        if elsewhere:
            world.claim("c", VIP, came_from="b")
            world.run(0.5)
            assert world.there("c") == {1000: 1000}
            world.release("c", VIP, pass_on=0.0)
        world.claim("b", VIP, came_from="")
        world.run(0.5)
        assert world.there("b") == {1000: 1000}
    world.run(2 * LINGER)
    assert world.there("b") == {1000: 1000}


def test_the_old_holder_forgets_when_it_passes_nothing_on_any_more(world: Flows) -> None:
    world.begin(flow("w", 1000))
    world.prepare("a", VIP, holder="")
    world.run(0.5)
    world.claim("a", VIP, came_from="")
    moved(world, "b")
    assert world.there("a") == {1000: 1000}
    world.run(LINGER)
    assert world.there("a") == {}


def test_an_address_that_comes_back_while_its_flows_are_forgotten_keeps_the_rest(
    world: Flows,
) -> None:
    world.begin(flow("w", 1000), flow("w", 1001))
    world.prepare("a", VIP, holder="")
    world.run(0.5)
    world.claim("a", VIP, came_from="")
    moved(world, "b")
    world.cut.add("w")
    world.tables["a"].forgotten = lambda: time.sleep(BUDGET)  # a step takes all of a turn's time
    while len(world.there("a")) == 2:
        world.run(0.01)
    world.claim("a", VIP, came_from="b")
    world.run(LINGER)
    assert len(world.there("a")) == 1


def test_own_pods_flows_are_bound_where_the_address_is(world: Flows) -> None:
    world.begin(flow("a", 1000), flow("b", 1001))
    world.claim("a", VIP)
    world.run(0.5)
    a, b = world.tables["a"].own, world.tables["b"].own
    assert a[pod("a"), 1000].bound == VIP.packed
    moved(world, "b")
    assert a[pod("a"), 1000].bound == pod("a")
    assert b[pod("b"), 1001].bound == VIP.packed
    assert world.there("b") == {1000: 1000}


def test_own_pods_flows_that_are_no_connections_are_not_made_ones(world: Flows) -> None:
    world.begin(flow("a", 1000, live=False))
    world.claim("a", VIP)
    world.run(0.5)
    assert world.tables["a"].own == {}
    assert world.tables["a"].log == ["dropped 1000"]


def test_a_long_list_of_what_is_not_worth_it_holds_up_nobody(world: Flows) -> None:
    world.begin(*(flow("w", 1000 + number, live=False) for number in range(500)))
    world.prepare("b", VIP)
    world.run(0.05)
    assert 0 < world.tables["w"].read < 50, "a step at each turn"


def test_who_has_no_room_reads_no_more(world: Flows) -> None:
    making = world.nodes["b"]._making
    for _ in range(300):
        making.take(())
    assert not making.room
    making.turn(now=world.now)
    assert making.room


class TestChangedPorts:
    @pytest.fixture
    def world(self, world: Flows) -> Flows:
        """Pods of w and c use port 1000; that of w is seen as 5000 by the outside."""
        world.begin(flow("w", 1000), flow("c", 1000))
        world.remap("a", "w", 1000, to=5000)
        world.run(1.0)
        return world

    def ports(self, world: Flows, at: str) -> dict[bytes, int]:
        return {entry.source: entry.port for entry in world.tables[at].came.values()}

    def test_they_are_kept_in_a_planned_move(self, world: Flows) -> None:
        moved(world, "b")
        assert self.ports(world, "b") == {pod("w"): 5000, pod("c"): 1000}

    def test_after_a_crash_they_are_there_before_anybody_hears_of_the_claim(
        self, world: Flows
    ) -> None:
        world.cut.add("a")
        world.nodes["b"].claimed((VIP,), came_from="a", now=world.now)
        assert self.ports(world, "b") == {pod("w"): 5000}
        assert world.tables["b"].came[pod("w"), 1000].timeout <= 60, "it may have ended"
        world.nodes["w"].moved("b", (VIP,), now=world.now)
        world.run(0.5)
        assert world.tables["b"].came[pod("w"), 1000].timeout > 60, "it has not"

    @pytest.mark.parametrize("planned", [True, False])
    def test_an_own_pods_flow_keeps_what_the_last_holder_gave_it(
        self, world: Flows, planned: bool
    ) -> None:
        world.begin(flow("b", 1001))
        world.remap("a", "b", 1001, to=5001)
        world.run(1.0)
        if planned:
            moved(world, "b")
        else:
            world.cut.add("a")
            world.claim("b", VIP)
            world.run(0.5)
        own = world.tables["b"].own[pod("b"), 1001]
        assert (own.bound, own.port) == (VIP.packed, 5001)
        assert pod("b") not in self.ports(world, "b"), "it comes by no tunnel"

    def test_an_own_pods_flow_is_told_with_the_port_that_it_had_here(self, world: Flows) -> None:
        world.begin(flow("a", 1002))
        world.claim("a", VIP, came_from="")
        world.run(0.5)
        key = pod("a"), 1002
        own = world.tables["a"].own
        own[key] = msgspec.structs.replace(own[key], port=5002)
        world.release("a", VIP, to="b")
        world.claim("b", VIP)
        world.run(0.5)
        assert self.ports(world, "b")[pod("a")] == 5002

    def test_a_node_that_is_no_member_any_more_is_forgotten(self, world: Flows) -> None:
        others = world.nodes["b"]._ports.others
        assert "a" in others.nodes
        world.know("b", MEMBERS - {"a"})
        world.run(KEEP / 2)
        assert "a" in others.nodes, "its flows are on their way"
        world.run(KEEP)
        assert "a" not in others.nodes
