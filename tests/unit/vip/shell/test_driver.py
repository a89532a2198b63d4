"""What the driver makes of the engine's decisions, and of what happens."""

from collections.abc import Iterable
from ipaddress import ip_address

import pytest
from msgspec.structs import replace
from unit.vip.shell.world import (
    KEYS,
    VIP,
    VIP2,
    VIP6,
    WALL,
    World,
    group,
)

from outgate.vip.engine import events as ev
from outgate.vip.engine.events import Adopted
from outgate.vip.engine.settings import DEFAULTS
from outgate.vip.engine.words import Claim
from outgate.vip.errors import PeerGone
from outgate.vip.model import Holding
from outgate.vip.peer.words import Datagram, Moved, MovedHeard
from outgate.vip.protocol import Claimed, Group, Report, Word
from outgate.vip.segment import ReturnPathUnknown
from outgate.vip.shell.account import CLAIMS_GAP, NUMBERS_EVERY, REST_GAP
from outgate.vip.shell.troubles import QUIET, RECHECK


@pytest.fixture
def pair() -> World:
    """Two members that have shared two addresses."""
    world = World("a", "b")
    world.settle(group(VIP, VIP2))
    assert sorted(world.holders(VIP) + world.holders(VIP2)) == ["a", "b"]
    return world


@pytest.fixture
def alone() -> World:
    """A gateway's only member, which holds its address."""
    world = World("a", "b")
    world.nodes["a"].told(group(VIP, members="a"))
    world.nodes["b"].told(ids=[VIP])
    world.run(15.0)
    assert world.holders(VIP) == ["a"]
    return world


def test_first_the_gate_then_the_address_then_the_announcement(alone: World) -> None:
    mac = alone.nodes["a"].mac
    assert alone.nodes["a"].lan.log[:3] == [
        f"claim {VIP}",
        f"add {VIP} eth0",
        f"announce {VIP} eth0 {mac}",
    ]


def test_all_nodes_hear_of_it_also_those_that_are_no_members(alone: World) -> None:
    (claimed,) = alone.nodes["a"].report().claims
    assert alone.nodes["b"].report().heard == (claimed,)
    assert (claimed.node, claimed.gateway, claimed.addresses) == ("a", "internet", (str(VIP),))
    assert alone.nodes["b"].driver.here.engine is None


def test_what_was_claimed_is_asked_for_and_heard_on_its_link(alone: World) -> None:
    segment = alone.nodes["a"].segment
    assert segment.held == {VIP}
    assert [link.name for link in segment.links] == ["eth0"]
    assert [check.addresses for check in segment.checked] == [{VIP}]


def test_on_release_the_gate_falls_silent_before_the_address_goes(alone: World) -> None:
    node = alone.nodes["a"]
    node.lan.log.clear()
    node.told(group(members="a"), seq=2)
    alone.run(10.0)
    assert node.lan.log == [f"release {VIP}", f"remove {VIP} eth0"]
    assert node.report().claims == ()
    assert node.noted()[-1] == "Released"


def test_a_gateway_that_is_gone_is_let_go_and_its_gate_is_open(alone: World) -> None:
    node = alone.nodes["a"]
    node.lan.log.clear()
    node.told(seq=2)
    alone.run(0.1)
    assert node.lan.log == [f"release {VIP}", f"remove {VIP} eth0", "forget internet"]
    assert node.gate.passes(VIP)


def test_a_dead_nodes_address_is_taken_within_a_second(pair: World) -> None:
    (first,) = pair.holders(VIP)
    (second,) = {"a", "b"} - {first}
    pair.nodes[first].runs = False
    pair.run(1.0)
    assert pair.holders(VIP) == [second]
    assert [note.what for note in pair.nodes[second].report().notes].count("Claimed") == 2


def test_others_hear_of_a_claim_before_the_long_work_of_it(
    pair: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = pair.holders(VIP)
    (second,) = {"a", "b"} - {first}
    node = pair.nodes[second]
    log, send = node.lan.log, node.voice.send

    def said(datagrams: Iterable[Datagram]) -> int:
        log.append("said")
        return send(datagrams)

    monkeypatch.setattr(node.voice, "send", said)
    log.clear()
    pair.nodes[first].runs = False
    pair.run(1.0)
    began, ended = log.index(f"claim {VIP}"), log.index(f"add {VIP} eth0")
    assert "said" in log[began:ended]


def test_while_who_holds_what_changes_the_agent_is_told_now_and_then(alone: World) -> None:
    node, now = alone.nodes["b"].driver, alone.now
    before = node.report(now=now)
    node.happen(MovedHeard(Moved("a", {"internet": (Claim(8, frozenset({VIP})),)})), now=now)
    assert node.report(now=now) is before
    assert node.next_turn() <= now + CLAIMS_GAP
    after = node.report(now=now + CLAIMS_GAP)
    assert [one.epoch for one in after.heard] == [8]
    later = now + CLAIMS_GAP + REST_GAP
    node.happen(MovedHeard(Moved("a", {"internet": (Claim(9, frozenset({VIP})),)})), now=later)
    assert [one.epoch for one in node.report(now=later).heard] == [9]


def test_an_api_server_that_is_away_is_told_and_moves_nothing(pair: World) -> None:
    before = pair.holders(VIP), pair.holders(VIP2)
    assert pair.nodes["a"].report().api
    pair.api = False
    pair.run(30.0)
    assert (pair.holders(VIP), pair.holders(VIP2)) == before
    assert not pair.nodes["a"].report().api
    pair.api = True
    pair.run(30.0)
    assert pair.nodes["a"].report().api


def test_what_the_kernel_has_let_lapse_the_engine_gives_up(pair: World) -> None:
    (name,) = pair.holders(VIP)
    node = pair.nodes[name]
    for gateway in list(node.gate.until):
        node.gate.until[gateway] = pair.now - 1.0  # as after a SIGSTOP
    node.lan.log.clear()
    pair.run(0.2)
    assert node.lan.log[:1] == [f"remove {VIP} eth0"]
    assert "Released" in node.noted()
    pair.run(10.0)
    assert len(pair.holders(VIP)) == 1


def test_a_gate_that_refuses_claims_leaves_the_address_to_the_other(pair: World) -> None:
    (name,) = pair.holders(VIP)
    (other,) = {"a", "b"} - {name}
    node = pair.nodes[name]
    node.gate.refused = "no memory"
    turns = node.turns
    pair.run(10.0)
    assert not node.answers(VIP)
    assert node.report().claims == ()
    assert node.driver.claims.own == {}
    assert node.turns - turns < 1000, "it spins"
    node.gate.refused = ""
    pair.run(15.0)
    assert len(pair.holders(VIP)) == 1
    assert len(pair.holders(VIP2)) == 1
    assert other in pair.holders(VIP) + pair.holders(VIP2)


def test_a_gate_that_can_not_be_made_is_tried_again() -> None:
    world = World("a")
    node = world.nodes["a"]
    node.gate.refused = "no memory"
    node.told(group(VIP, members="a"))
    world.run(5.0)
    assert world.holders(VIP) == []
    node.gate.refused = ""
    world.run(15.0)
    assert world.holders(VIP) == ["a"]


def test_the_process_that_follows_adopts_what_lives_and_tells_it_to_all(alone: World) -> None:
    node, other = alone.nodes["a"], alone.nodes["b"]
    epoch = node.report().claims[0].epoch
    node.driver.happen(ev.Restarting(), now=alone.now)
    alone.run(0.5)
    assert node.driver.here.ready_to_restart is not None
    until = node.driver.here.ready_to_restart
    node.lan.log.clear()
    other.start()
    other.told(ids=[VIP])
    node.start(adopted=[Adopted("internet", VIP, epoch, until)])
    node.told(group(VIP, members="a"))
    alone.run(10.0)
    assert alone.holders(VIP) == ["a"]
    assert not any(word in " ".join(node.lan.log) for word in ("release", "remove", "add"))
    assert other.report().heard == node.report().claims
    assert node.report().claims[0].epoch == epoch


def test_what_was_left_of_a_gateway_that_is_not_this_nodes_is_not_adopted() -> None:
    world = World("a")
    node = world.nodes["a"]
    node.start(adopted=[Adopted("former", VIP2, 9, world.now + 5.0)])
    node.lan.owned.add(Holding(VIP2, "eth0"))
    node.told(group(VIP, members="a"))
    world.run(10.0)
    assert node.report().claims[0].addresses == (str(VIP),)
    assert node.report().claims[0].epoch > 9, "of a node, each epoch is above all before"
    assert {holding.address for holding in node.lan.owned} == {VIP}


def test_who_never_was_a_gateway_node_loads_nothing_and_has_nothing_to_do() -> None:
    world = World("a")
    node = world.nodes["a"]
    node.told(ids=[VIP])
    node.gate.refused = "never asked"
    world.run(60.0)
    assert node.driver.here.engine is None
    assert node.lan.log == []
    assert node.turns < 10


def bad(*addresses: str, gateway: str = "other") -> Group:
    return Group(gateway, "uid", addresses, ("a",), ("a",))


NODES = {"a": "192.0.2.1", "b": "192.0.2.2"}
GOOD = Word(1, "a", "eth0", NODES, (group(VIP, members="a"),), {str(VIP): 1})


@pytest.mark.parametrize(
    "word",
    [
        replace(GOOD, seq=2, nodes={"a": "192.0.2.9", "b": "nowhere"}, groups=()),
        replace(GOOD, seq=2, ids={"seven": 1}, groups=(), nodes={"a": "192.0.2.9"}),
        replace(GOOD, seq=2, groups=(group(VIP2, members="a"), bad(str(VIP2), "seven"))),
        replace(GOOD, seq=2, groups=(bad("seven", gateway="internet"),), interface="eth1"),
        replace(GOOD, seq=2, node="b"),
    ],
    ids=["node", "id", "second gateway", "address", "another node's"],
)
def test_nothing_of_a_word_that_is_nonsense_is_taken(alone: World, word: Word) -> None:
    node = alone.nodes["a"]
    alone.run(1.0)
    before, managed = node.driver.here.word, dict(node.gate.managed)
    sent = node.report()
    with pytest.raises(PeerGone):
        node.tell(word)
    assert node.driver.here.word is before
    assert node.gate.managed == managed
    assert node.report() == sent
    alone.run(5.0)
    assert alone.holders(VIP) == ["a"]


def test_nor_of_a_first_word() -> None:
    world = World("a")
    node = world.nodes["a"]
    with pytest.raises(PeerGone):
        node.tell(replace(GOOD, ids={"seven": 1}))
    assert node.driver.here.word is None
    assert node.driver.here.engine is None
    assert node.driver.here.codec is None
    assert node.report() == Report(0, knows=False)


def test_a_report_is_made_only_when_something_has_changed(alone: World) -> None:
    node = alone.nodes["a"]
    first = node.report()
    assert node.report() is first
    node.told(group(VIP, members="a"), seq=2)
    second = node.report()
    assert second is not first
    assert second == replace(first, seq=2)
    assert node.report() is second


def test_a_word_that_says_the_same_moves_nothing(alone: World) -> None:
    node = alone.nodes["a"]
    node.lan.log.clear()
    node.told(group(VIP, members="a"), seq=2)
    alone.run(5.0)
    assert node.lan.log == []
    assert node.report().seq == 2


def test_notes_say_what_was_claimed_when_and_from_whom(alone: World) -> None:
    (note,) = alone.nodes["a"].report().notes
    assert (note.number, note.gateway, note.what, note.addresses) == (
        1,
        "internet",
        "Claimed",
        (str(VIP),),
    )
    assert note.detail.startswith("from nobody by epoch ")
    assert WALL + 100 < note.at < WALL + alone.now


def test_an_address_that_somebody_answers_for_is_noted_and_not_taken() -> None:
    world = World("a")
    world.answering[VIP] = "02:ee:00:00:00:01"
    world.settle(group(VIP, members="a"))
    assert world.holders(VIP) == []
    assert "Occupied" in world.nodes["a"].noted()
    del world.answering[VIP]
    world.run(10.0)
    assert world.holders(VIP) == ["a"]


def test_a_conflict_is_defended_by_saying_it_again(alone: World) -> None:
    node = alone.nodes["a"]
    node.lan.log.clear()
    node.segment.heard.append(ev.ConflictSeen(VIP, "02:ee:00:00:00:01"))
    alone.run(0.05)
    assert node.lan.log == [f"announce {VIP} eth0 {node.mac}"]
    assert node.noted()[-1] == "Conflict"


def test_a_conflict_is_told_until_nobody_else_is_heard(alone: World) -> None:
    node = alone.nodes["a"]
    node.segment.heard.append(ev.ConflictSeen(VIP, "02:ee:00:00:00:01"))
    alone.run(0.05)
    (trouble,) = node.report().troubles
    assert (trouble.what, trouble.addresses) == ("Conflict", (str(VIP),))
    assert trouble.detail == "02:ee:00:00:00:01"
    alone.run(QUIET)
    assert node.report().troubles == ()


def test_an_address_that_somebody_else_keeps_is_told_until_it_is_taken() -> None:
    world = World("a")
    world.answering[VIP] = "02:ee:00:00:00:01"
    world.settle(group(VIP, members="a"))
    (trouble,) = world.nodes["a"].report().troubles
    assert (trouble.what, trouble.detail) == ("Occupied", "02:ee:00:00:00:01")
    del world.answering[VIP]
    world.run(10.0)
    assert world.nodes["a"].report().troubles == ()


def test_a_way_back_that_fails_is_checked_anew_and_told_until_it_works(alone: World) -> None:
    node = alone.nodes["a"]
    node.segment.checked.clear()
    node.segment.heard.append(ev.ReturnPathChecked(VIP, came=False))
    alone.run(0.05)
    assert [trouble.what for trouble in node.report().troubles] == ["ReturnPathFailed"]
    alone.run(RECHECK)
    assert [check.addresses for check in node.segment.checked] == [{VIP}]
    node.segment.heard.append(ev.ReturnPathChecked(VIP, came=True))
    alone.run(0.05)
    assert node.report().troubles == ()
    assert node.noted()[-2:] == ["ReturnPathFailed", "ReturnPathWorks"]


def test_a_way_back_that_is_not_known_is_told(alone: World) -> None:
    alone.nodes["a"].segment.heard.append(ReturnPathUnknown(VIP, "no router is known"))
    alone.run(0.05)
    (trouble,) = alone.nodes["a"].report().troubles
    assert (trouble.what, trouble.detail) == ("ReturnPathUnknown", "no router is known")


def test_a_crash_is_told_with_what_it_took(pair: World) -> None:
    (first,) = pair.holders(VIP)
    (second,) = {"a", "b"} - {first}
    pair.nodes[first].runs = False
    pair.run(1.0)
    move = pair.nodes[second].report().moves[-1]
    assert (move.claimed, move.node, move.why, move.count) == (True, first, "crash", 1)
    assert 0.3 < move.took < 1.0
    (gateway,) = pair.nodes[second].driver.numbers(now=pair.now).gateways
    assert (gateway.held, gateway.claimed["crash"], gateway.epoch) == (2, 1, move.epoch)


def test_both_sides_of_a_planned_move_tell_it(pair: World) -> None:
    (first,) = pair.holders(VIP)
    (second,) = {"a", "b"} - {first}
    pair.nodes[first].told(group(VIP, VIP2, unfit="no uplink"), seq=2)
    pair.run(10.0)
    came, went = pair.nodes[second].report().moves[-1], pair.nodes[first].report().moves[-1]
    assert (came.claimed, came.node, came.why) == (True, first, "planned")
    assert (went.claimed, went.node, went.why) == (False, second, "moved")
    assert came.epoch > went.epoch


def test_what_is_held_without_certainty_is_told_while_it_is(pair: World) -> None:
    pair.api = False
    pair.cut = {"a", "b"}
    pair.run(5.0)
    told = [node.report().troubles for node in pair.nodes.values()]
    assert any(trouble.what == "Failsafe" for some in told for trouble in some)
    assert any(
        gateway.failsafe
        for node in pair.nodes.values()
        for gateway in node.driver.numbers(now=pair.now).gateways
    )
    pair.api, pair.cut = True, set()
    pair.run(30.0)
    told = [node.report().troubles for node in pair.nodes.values()]
    assert not any(trouble.what == "Failsafe" for some in told for trouble in some)


def test_who_is_alone_seeks_the_others_on_the_link_that_it_speaks_on(pair: World) -> None:
    underlay = pair.addresses
    for name, node in pair.nodes.items():
        node.lan.foreign = {
            Holding(underlay[name], "eth1"),
            Holding(ip_address("203.0.113.200"), "eth0"),
        }
    pair.run(1.0)
    assert not any(node.segment.sought for node in pair.nodes.values())
    pair.api = False
    pair.cut = {"a", "b"}
    pair.run(5.0)
    for name, other in ("ab", "ba"):
        assert set(pair.nodes[name].segment.sought) == {(frozenset({underlay[other]}), "eth1")}


def test_who_does_not_know_its_own_link_seeks_nobody(pair: World) -> None:
    pair.api = False
    pair.cut = {"a", "b"}
    pair.run(5.0)
    assert not any(node.segment.sought for node in pair.nodes.values())


def test_when_a_member_is_heard_again_all_learn_at_once_where_the_addresses_are() -> None:
    world = World("a", "b", "c")
    for name in ("a", "b"):
        world.nodes[name].told(group(VIP))
    world.nodes["c"].told(ids=[VIP])
    world.run(15.0)
    (first,) = world.holders(VIP)
    (second,) = {"a", "b"} - {first}
    world.nodes[first].runs, world.cut = False, {"c"}
    world.run(9.0)  # until whoever can't be told is given up
    assert world.holders(VIP) == [second]
    assert world.nodes["c"].report().heard[0].node == first
    world.nodes[second].lan.log.clear()
    world.nodes[first].start()
    world.nodes[first].told(group(VIP))
    world.cut = set()
    world.run(0.3)
    assert [one.node for one in world.nodes["c"].report().heard] == [second]
    mac = world.nodes[second].mac
    assert world.nodes[second].lan.log[:1] == [f"announce {VIP} eth0 {mac}"]


def test_heartbeats_and_answers_about_leases_are_counted_not_oftener_than_is_looked(
    pair: World,
) -> None:
    driver = pair.nodes["a"].driver
    first = driver.numbers(now=pair.now)
    assert first.api
    assert first.sent > 0
    assert first.heard > 0
    assert first.leases["read"] > 0
    pair.run(NUMBERS_EVERY / 2)
    assert driver.numbers(now=pair.now) is first
    pair.run(NUMBERS_EVERY / 2)
    assert driver.numbers(now=pair.now).sent > first.sent


def test_a_node_that_is_unfit_from_the_start_takes_nothing() -> None:
    world = World("a", "b")
    world.nodes["a"].told(group(VIP, VIP2, VIP6, unfit="no uplink"))
    world.nodes["b"].told(group(VIP, VIP2, VIP6))
    world.run(15.0)
    assert [world.holders(one) for one in (VIP, VIP2, VIP6)] == [["b"]] * 3


def test_who_becomes_unfit_hands_over_as_planned(pair: World) -> None:
    (name,) = pair.holders(VIP)
    (other,) = {"a", "b"} - {name}
    pair.nodes[name].told(group(VIP, VIP2, unfit="no uplink"), seq=2)
    pair.run(10.0)
    assert pair.holders(VIP) == pair.holders(VIP2) == [other]
    assert "as planned" in pair.nodes[other].report().notes[-1].detail


def test_the_owners_uids_are_told_for_the_leases(pair: World) -> None:
    assert pair.nodes["a"].leases.uids == {"internet": "uid-internet"}


def moved(node: str, epoch: int) -> MovedHeard:
    return MovedHeard(Moved(node, {"internet": (Claim(epoch, frozenset({VIP})),)}))


def test_what_is_heard_before_the_agent_knows_the_address_is_kept_and_forgotten_after() -> None:
    world = World("a", "b")
    node = world.nodes["a"]
    node.told()
    node.driver.happen(moved("b", 4), now=world.now)
    node.told(seq=2)
    node.told(seq=3, ids=[VIP])
    assert node.report().heard == (Claimed("b", "internet", 4, (str(VIP),)),)
    node.told(seq=4)
    assert node.report().heard == ()


def test_whoever_has_no_key_of_ours_is_not_believed(alone: World) -> None:
    codec = alone.nodes["b"].driver.here.codec
    assert codec is not None
    codec.keys = type(KEYS)({"two": b"x" * 32}, ("two",))
    alone.nodes["b"].told(group(VIP, members="ab"), seq=2)
    assert codec is alone.nodes["b"].driver.here.codec
    alone.run(1.0)
    assert alone.holders(VIP) == ["a"]


def test_a_datagram_before_the_first_word_is_nothing() -> None:
    world = World("a", "b")
    world.nodes["a"].driver.heard(b"x" * 100, world.addresses["b"], now=world.now)
    assert world.nodes["a"].driver.underlay() is None


def test_three_nodes_at_rest_have_little_to_do() -> None:
    world = World("a", "b", "c")
    world.settle(group(VIP, VIP2, VIP6, members="abc"))
    before = [(node.turns, node.voice.sent) for node in world.nodes.values()]
    world.run(10.0)
    beats = 10.0 / DEFAULTS.interval
    for node, (turns, sent) in zip(world.nodes.values(), before, strict=True):
        assert node.turns - turns < 3 * beats
        assert node.voice.sent - sent < 5 * beats


def test_a_node_whose_uplink_goes_down_hands_its_addresses_over_and_takes_none(pair: World) -> None:
    for name in ("a", "b"):
        pair.nodes[name].carrier(up=False)
        pair.run(3.0)
        (other,) = {"a", "b"} - {name}
        assert pair.holders(VIP) == pair.holders(VIP2) == [other]
        assert pair.nodes[name].report().unfit == {"internet": "uplink eth0 is down"}
        pair.nodes[name].carrier(up=True)
        pair.run(3.0)
        assert pair.holders(VIP) == pair.holders(VIP2) == [other]  # no failback
        assert pair.nodes[name].report().unfit == {}


def test_what_the_agent_has_against_a_node_outlives_its_uplink(pair: World) -> None:
    told = group(VIP, VIP2)
    pair.nodes["a"].told(replace(told, unfit="icmp: no target has answered"), seq=2)
    pair.run(3.0)
    assert pair.holders(VIP) == pair.holders(VIP2) == ["b"]
    for up in (False, True):
        pair.nodes["a"].carrier(up=up)
        pair.run(1.0)
    pair.nodes["b"].carrier(up=False)
    pair.run(3.0)
    assert pair.holders(VIP) == pair.holders(VIP2) == ["b"]  # nobody is better
    pair.nodes["a"].told(told, seq=3)
    pair.run(3.0)
    assert pair.holders(VIP) == pair.holders(VIP2) == ["a"]
