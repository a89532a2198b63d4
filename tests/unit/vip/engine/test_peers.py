"""What is evidence, what is fresh, and whom one has called silent."""

import pytest

from outgate.vip.engine.peers import NEVER, Peers
from outgate.vip.engine.settings import DEFAULTS
from outgate.vip.engine.words import Ack, Heard, Hearing, Heartbeat


def peers(*, started: float = 0.0) -> Peers:
    return Peers(node="node-a", boot=1, started=started, settings=DEFAULTS)


def beat(
    counter: int,
    *,
    boot: int = 1,
    hears: int = 0,
    hearing: Hearing = Hearing.NEW,
    age: float = 0.0,
) -> Heartbeat:
    said = {"node-a": Heard(1, hears, age, hearing)} if hears else {}
    return Heartbeat("node-b", boot, counter, True, 0.25, {}, said, {})


def test_an_acknowledgement_counts_from_when_the_heartbeat_was_sent() -> None:
    mine = peers()
    mine.say(now=1.0)
    peer = mine.hear(beat(1, hears=1, hearing=Hearing.ACKNOWLEDGES), now=5.0)
    assert peer is not None
    assert (peer.granted, peer.echoed, peer.heard) == (1.0, 1.0, 5.0)


def test_an_ack_counts_from_when_the_heartbeat_was_sent() -> None:
    mine = peers()
    mine.get("node-b")
    mine.say(now=1.0)
    assert mine.acknowledged(Ack("node-b", 1, 1)) == 1.0
    assert mine.get("node-b").granted == 1.0


def test_an_ack_of_a_former_process_or_of_an_old_heartbeat_is_no_news() -> None:
    mine = peers()
    mine.get("node-b")
    mine.say(now=1.0)
    mine.say(now=1.1)
    assert mine.acknowledged(Ack("node-b", 0, 2)) == NEVER
    assert mine.acknowledged(Ack("node-b", 1, 2)) == 1.1
    assert mine.acknowledged(Ack("node-b", 1, 1)) == NEVER
    assert mine.acknowledged(Ack("node-b", 1, 3)) == NEVER  # not sent yet


def test_duplicates_late_ones_and_those_of_a_former_boot_are_ignored() -> None:
    mine = peers()
    assert mine.hear(beat(5, boot=2), now=1.0) is not None
    assert mine.hear(beat(5, boot=2), now=1.1) is None
    assert mine.hear(beat(4, boot=2), now=1.2) is None
    assert mine.hear(beat(9, boot=1), now=1.3) is None
    assert mine.hear(beat(1, boot=3), now=1.4) is not None


def test_hearing_without_acknowledging_is_fresh_but_no_evidence() -> None:
    mine = peers()
    mine.say(now=1.0)
    peer = mine.hear(beat(1, hears=1, hearing=Hearing.WITHHOLDS, age=0.35), now=1.1)
    assert peer is not None
    assert peer.echoed == 1.0
    assert peer.granted == NEVER
    assert peer.objects


def test_who_speaks_but_does_not_hear_us_becomes_silent_and_is_told_so() -> None:
    mine = peers()
    peer = mine.hear(beat(1), now=1.0)
    assert peer is not None
    for counter, now in ((2, 1.1), (3, 1.2), (4, 1.3)):
        mine.hear(beat(counter, hears=1, hearing=Hearing.WITHHOLDS, age=0.4), now=now)
    assert peer.counter == 1
    assert not mine.acknowledges(peer, now=1.3)
    assert mine.speaks(peer, now=1.3)
    assert mine.silent(peer, now=1.3)
    said = mine.say(now=1.3)["node-b"]
    assert (said.counter, said.hearing) == (1, Hearing.UNHEARD)
    assert said.age == pytest.approx(0.3)


def test_two_who_do_not_hear_each_other_any_more_find_each_other_again() -> None:
    mine = peers()
    peer = mine.hear(beat(1), now=1.0)
    assert peer is not None
    mine.say(now=2.0)
    mine.hear(beat(2, hears=1, hearing=Hearing.WITHHOLDS, age=1.0), now=2.0)
    assert mine.silent(peer, now=2.0)
    mine.hear(beat(3, hears=1, hearing=Hearing.UNHEARD, age=1.0), now=2.1)
    assert not mine.silent(peer, now=2.1)
    assert peer.objects


def test_a_peer_is_silent_after_the_misses() -> None:
    mine = peers()
    peer = mine.hear(beat(1), now=1.0)
    assert peer is not None
    assert not mine.silent(peer, now=1.29)
    assert mine.silent(peer, now=1.3)


def test_who_was_called_silent_is_acknowledged_by_nobody_who_did_for_a_while() -> None:
    mine = peers()
    peer = mine.hear(beat(1), now=1.0)
    assert peer is not None
    assert mine.say(now=1.3)["node-b"].hearing is Hearing.WITHHOLDS
    mine.hear(beat(2), now=1.31)
    assert mine.say(now=1.4)["node-b"].hearing is Hearing.WITHHOLDS
    assert not mine.acknowledges(peer, now=1.79)
    mine.hear(beat(3), now=1.75)
    assert mine.acknowledges(peer, now=1.8)
    assert mine.say(now=1.8)["node-b"].hearing is Hearing.ACKNOWLEDGES


def test_a_new_process_acknowledges_nobody_for_a_while() -> None:
    mine = peers(started=10.0)
    peer = mine.hear(beat(1), now=10.1)
    assert peer is not None
    assert mine.say(now=10.1)["node-b"].hearing is Hearing.NEW
    assert not mine.acknowledges(peer, now=10.49)
    assert mine.acknowledges(peer, now=10.5)
