"""What nodes say arrives as it was meant, and only that."""

from collections.abc import Callable

import msgspec
import pytest
from unit.vip.peer.talk import Talk, address, heartbeat, say

from outgate.vip.engine.actions import Send, SendAck
from outgate.vip.engine.events import AckHeard
from outgate.vip.engine.words import Ack, Claim
from outgate.vip.peer.codec import PeerCodec
from outgate.vip.peer.errors import Refusal
from outgate.vip.peer.keys import Keys
from outgate.vip.peer.seal import DATAGRAM_MAX, Kind, read
from outgate.vip.peer.words import Datagram

OLD, NEW = b"o" * 16, b"n" * 16


def kinds(talk: Talk) -> list[int]:
    return [read(data).kind for _, _, data in talk.wire]


def test_a_heartbeat_arrives_as_it_was_said() -> None:
    talk = Talk("a", "b", "c")
    talk.greet()
    word = heartbeat("a", 1, peers=("b", "c"), says=(say("g"), say("h", 4, holds=0)))
    talk.say(word)
    assert talk.heartbeats("b") == [word]
    assert talk.heartbeats("c") == [word]


def test_an_acknowledgement_arrives_as_it_was_said() -> None:
    talk = Talk("a", "b")
    talk.greet()
    talk.ack("a", SendAck("b", Ack("a", 5, 9)))
    assert talk.heard["b"] == [AckHeard(Ack("a", 5, 9))]


def test_what_has_not_changed_is_sent_once_and_is_the_same_object() -> None:
    talk = Talk("a", "b")
    talk.greet()
    said = say()
    talk.say(heartbeat("a", 1, peers=("b",), says=(said,)))
    talk.wire.clear()
    talk.say(heartbeat("a", 2, peers=("b",), says=(said,)))
    assert kinds(talk) == [Kind.HEARTBEAT]
    first, second = talk.heartbeats("b")
    assert first.says["g"] is second.says["g"]


def test_thirty_members_fit_in_one_small_datagram() -> None:
    names = [f"ip-10-0-12-{n}.eu-central-1.compute.internal" for n in range(30)]
    talk = Talk(names[0], names[1])
    talk.greet()
    said = [say(f"gateway-{n}") for n in range(8)]
    talk.say(heartbeat(names[0], 1, boot=1, peers=names[1:], says=said))
    talk.wire.clear()
    word = heartbeat(names[0], 2, boot=1, peers=names[1:], says=said)
    talk.say(word)
    assert [len(data) <= DATAGRAM_MAX for _, _, data in talk.wire] == [True]
    assert talk.heartbeats(names[1])[-1] == word


def test_what_does_not_fit_is_split_and_arrives() -> None:
    talk = Talk("a", "b")
    talk.greet()
    word = heartbeat("a", 1, peers=[f"n{n}" for n in range(300)], says=(say(holds=16_384),))
    talk.say(word)
    assert talk.heartbeats("b") == [word]
    assert max(len(data) for _, _, data in talk.wire) <= DATAGRAM_MAX


def test_a_heartbeat_counts_as_lost_until_what_it_refers_to_is_there() -> None:
    talk = Talk("a", "b")
    talk.greet()
    talk.lost = lambda _from, _to, data: read(data).kind == Kind.PART
    word = heartbeat("a", 1, says=(say(holds=5000),))
    talk.say(word)
    assert talk.heartbeats("b") == []
    talk.lost = lambda _from, _to, _data: False
    word = heartbeat("a", 2, says=word.says.values())
    talk.say(word)
    assert talk.heartbeats("b") == [word]


def test_only_what_was_lost_is_asked_for() -> None:
    talk = Talk("a", "b")
    talk.greet()
    seen: list[tuple[int, int]] = []

    def second_part(_from: str, _to: str, data: bytes) -> bool:
        header = read(data)
        if header.kind != Kind.PART or header.parts == 1:
            return False
        seen.append((header.number, header.part))
        return header.part == 1 and seen.count((header.number, 1)) == 1

    talk.lost = second_part
    scattered = frozenset(address(1) + 97 * n * n for n in range(3000))
    one = msgspec.structs.replace(say(), claims=(Claim(1, scattered),))
    word = heartbeat("a", 1, says=(one,))
    talk.say(word)
    assert talk.heartbeats("b") == [word]
    parts = [part for _, part in seen]
    assert sorted(parts) == sorted([*range(max(parts) + 1), 1])


def test_a_member_that_comes_later_asks_for_what_the_others_have() -> None:
    talk = Talk("a", "b")
    talk.greet()
    said = say()
    talk.say(heartbeat("a", 1, peers=("b",), says=(said,)))
    talk.start("b", boot=2)
    for counter in (2, 3):
        talk.later(0.1)
        talk.say(heartbeat("a", counter, peers=("b",), says=(said,)))
    assert [word.counter for word in talk.heartbeats("b")] == [3]


def test_however_much_is_missed_it_can_be_asked_for() -> None:
    talk = Talk("a", "b")
    talk.greet()
    said = [say(f"gateway-{n}") for n in range(500)]
    talk.codecs["a"].encode(Send(("b",), heartbeat("a", 1, says=said)))
    word = heartbeat("a", 2, says=said)
    talk.say(word)
    assert talk.heartbeats("b") == [word]
    assert max(len(data) for _, _, data in talk.wire) <= DATAGRAM_MAX


def test_older_heartbeats_are_not_handed_on() -> None:
    talk = Talk("a", "b")
    talk.greet()
    first = talk.codecs["a"].encode(Send(("b",), heartbeat("a", 1)))
    talk.say(heartbeat("a", 2))
    talk.carry("a", first)
    assert [word.counter for word in talk.heartbeats("b")] == [2]


def test_a_replay_is_refused_and_counted() -> None:
    talk = Talk("a", "b")
    talk.greet()
    talk.ack("a", SendAck("b", Ack("a", 1, 1)))
    data = talk.wire[-1][2]
    talk.bring("a", "b", data)
    assert len(talk.heard["b"]) == 1
    assert talk.codecs["b"].refused[Refusal.REPLAYED] == 1


def test_after_a_restart_nothing_recorded_before_is_believed() -> None:
    talk = Talk("a", "b")
    talk.greet()
    for counter in range(1, 20):
        talk.later(0.1)
        talk.say(heartbeat("a", counter, peers=("b",), says=(say(),)))
        talk.ack("a", SendAck("b", Ack("a", 1, counter)))
    recorded = [data for sender, _, data in talk.wire if sender == "a"]
    talk.start("b", boot=2)
    for data in recorded:
        talk.later(0.1)
        talk.bring("a", "b", data)
    assert talk.heard["b"] == []
    assert talk.codecs["b"].refused == {Refusal.UNPROVEN: len(recorded)}


def test_a_recording_of_a_former_life_does_not_shut_out_the_present_one() -> None:
    talk = Talk("a", "b")
    talk.greet()
    talk.say(heartbeat("a", 1))
    recorded = talk.wire[-1][2]
    talk.start("a", boot=2)
    talk.start("b", boot=2)
    talk.carry("b", talk.bring("a", "b", recorded))
    for counter in (1, 2):
        talk.later(0.1)
        talk.say(heartbeat("a", counter, boot=2))
    assert {word.boot for word in talk.heartbeats("b")} == {2}


def test_nothing_of_an_older_boot_is_believed() -> None:
    talk = Talk("a", "b")
    talk.greet()
    before = talk.codecs["a"]
    talk.start("a", boot=2)
    talk.greet()
    talk.heard["b"].clear()
    talk.carry("a", before.encode(SendAck("b", Ack("a", 1, 1))))
    assert talk.heard["b"] == []
    assert talk.codecs["b"].refused[Refusal.OLD_BOOT] == 1


def test_hellos_end_and_are_not_given_to_everybody_who_asks_often() -> None:
    talk = Talk("a", "b")
    talk.say(heartbeat("a", 1))
    assert kinds(talk) == [Kind.HEARTBEAT, Kind.HELLO]
    talk.start("b", boot=2)
    answers: list[Datagram] = []
    for counter in range(2, 12):
        (datagram,) = talk.codecs["a"].encode(SendAck("b", Ack("a", 1, counter)))
        answers += talk.bring("a", "b", datagram.data)
    assert talk.codecs["b"].refused[Refusal.UNPROVEN] == 10
    assert [read(answer.data).kind for answer in answers] == [Kind.HELLO]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda data: data[:-1], Refusal.FORGED),
        (lambda data: data[:40], Refusal.MALFORMED),
        (lambda data: data + bytes(1200), Refusal.MALFORMED),
        (lambda data: b"XX" + data[2:], Refusal.MALFORMED),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), Refusal.FORGED),
    ],
)
def test_what_was_changed_is_refused(spoil: Callable[[bytes], bytes], why: Refusal) -> None:
    talk = Talk("a", "b")
    talk.greet()
    (datagram,) = talk.codecs["a"].encode(SendAck("b", Ack("a", 1, 1)))
    talk.bring("a", "b", spoil(datagram.data))
    assert talk.heard["b"] == []
    assert talk.codecs["b"].refused[why] == 1


def test_what_is_for_another_or_from_another_is_refused() -> None:
    talk = Talk("a", "b", "c")
    talk.greet()
    (datagram,) = talk.codecs["a"].encode(SendAck("b", Ack("a", 1, 1)))
    talk.bring("a", "c", datagram.data)
    talk.bring("c", "b", datagram.data)
    talk.bring("b", "a", datagram.data)
    talk.codecs["b"].feed(datagram.data, address(99), now=talk.now)
    assert talk.codecs["c"].refused[Refusal.RECEIVER] == 1
    assert talk.codecs["a"].refused[Refusal.SENDER] == 1
    assert talk.codecs["b"].refused[Refusal.SENDER] == 1
    assert talk.codecs["b"].refused[Refusal.STRANGER] == 1
    assert not any(talk.heard.values())


def test_a_node_that_left_the_mesh_is_not_heard_and_its_counters_are_remembered() -> None:
    talk = Talk("a", "b")
    talk.greet()
    talk.ack("a", SendAck("b", Ack("a", 1, 1)))
    data = talk.wire[-1][2]
    talk.codecs["b"].know({"b": address(2)}, now=talk.now)
    talk.bring("a", "b", data)
    talk.codecs["b"].know(talk.mesh, now=talk.now)
    talk.bring("a", "b", data)
    assert len(talk.heard["b"]) == 1
    assert talk.codecs["b"].refused[Refusal.STRANGER] == 1
    assert talk.codecs["b"].refused[Refusal.REPLAYED] == 1


def test_without_a_key_or_an_address_nothing_is_sent_and_that_is_counted() -> None:
    codec = PeerCodec("a", boot=1)
    codec.know({"a": address(1), "b": address(2)}, now=0.0)
    assert codec.encode(SendAck("b", Ack("a", 1, 1))) == []
    assert codec.encode(SendAck("nobody", Ack("a", 1, 1))) == []
    assert codec.unsent == 2


STEPS = [
    Keys({"old": OLD}, ("old",)),
    Keys({"old": OLD, "new": NEW}, ("old",)),
    Keys({"old": OLD, "new": NEW}, ("old", "new")),
    Keys({"old": OLD, "new": NEW}, ("new",)),
    Keys({"new": NEW}, ("new",)),
]


@pytest.mark.parametrize(
    ("behind", "ahead"), [(i, j) for i in range(5) for j in range(i, min(i + 3, 5))]
)
def test_nodes_two_steps_apart_in_a_rotation_understand_each_other(behind: int, ahead: int) -> None:
    talk = Talk("a", "b")
    talk.codecs["a"].keys, talk.codecs["b"].keys = STEPS[behind], STEPS[ahead]
    talk.greet()
    talk.ack("a", SendAck("b", Ack("a", 1, 1)))
    talk.ack("b", SendAck("a", Ack("b", 1, 1)))
    assert talk.heard["a"]
    assert talk.heard["b"]


def test_a_key_that_is_not_known_is_refused_and_one_false_proof_is_enough() -> None:
    talk = Talk("a", "b")
    talk.codecs["a"].keys = STEPS[4]
    talk.ack("a", SendAck("b", Ack("a", 1, 1)))
    assert talk.codecs["b"].refused == {Refusal.UNKNOWN_KEY: 1}
    talk.codecs["a"].keys = Keys({"old": OLD, "new": b"other" * 5}, ("old", "new"))
    talk.codecs["b"].keys = STEPS[1]
    talk.ack("a", SendAck("b", Ack("a", 1, 1)))
    assert talk.codecs["b"].refused == {Refusal.UNKNOWN_KEY: 1, Refusal.FORGED: 1}
