"""Lines of the Unix socket."""

import pytest

from outgate.vip.errors import PeerGone
from outgate.vip.protocol import (
    LINE_MAX,
    Claimed,
    Durations,
    GatewayNumbers,
    Group,
    Held,
    Lines,
    Message,
    Move,
    Note,
    Numbers,
    Report,
    Trouble,
    Word,
    encode,
)

GROUP = Group("internet", "uid-1", ("203.0.113.7", "2001:db8::7"), ("a", "b"), ("b",), True, "no")
WORD = Word(
    1,
    "a",
    "eth0",
    {"a": "192.0.2.1", "b": "192.0.2.2"},
    (GROUP,),
    {"203.0.113.7": 1, "2001:db8::7": 2},
    {"a": 1, "b": 2},
    standby=True,
)
REPORT = Report(
    1,
    (Held("203.0.113.7", "eth0", 12.5, 3), Held("2001:db8::7", error="no link")),
    repaired=2,
    claims=(Claimed("a", "internet", 4, ("203.0.113.7",)),),
    heard=(Claimed("b", "internet", 3, ("2001:db8::7",)),),
    api=True,
    notes=(Note(1, 12.5, "internet", "Claimed", ("203.0.113.7",), "from nobody"),),
    moves=(Move("internet", True, 12.5, 4, 4, 1, "b", "crash", 0.4),),
    troubles=(Trouble("internet", "Conflict", ("203.0.113.7",), 1, "02:00:5e:00:53:01"),),
)
NUMBERS = Numbers(
    (GatewayNumbers("internet", 1, 4, took={"crash": Durations((0, 1), 0.4)}),),
    refused={"forged": 2},
)


def test_messages_survive_the_wire_however_it_cuts_them() -> None:
    messages: list[Message] = [WORD, REPORT, NUMBERS, Word(2, "a", "eth0", {}), Report(0)]
    stream = b"".join(encode(message) for message in messages)
    lines = Lines()
    heard = [message for byte in stream for message in lines.feed(bytes([byte]))]
    assert heard == messages


def test_a_word_is_plain_json() -> None:
    group = Group("internet", "uid-1", ("203.0.113.7",), ("a",), ("a",))
    assert encode(Word(7, "a", "eth0", {"a": "192.0.2.1"}, (group,), {"203.0.113.7": 1})) == (
        b'{"type":"word","seq":7,"node":"a","interface":"eth0","nodes":{"a":"192.0.2.1"},"groups":'
        b'[{"gateway":"internet","uid":"uid-1","addresses":["203.0.113.7"],"members":["a"],'
        b'"eligible":["a"],"failback":false,"unfit":""}],"ids":{"203.0.113.7":1},"indexes":{},'
        b'"standby":false}\n'
    )


@pytest.mark.parametrize("line", [b"nonsense\n", b'{"type":"other"}\n', b'{"type":"word"}\n'])
def test_what_is_no_message_ends_the_talk(line: bytes) -> None:
    with pytest.raises(PeerGone, match="not a message"):
        list(Lines().feed(line))


def test_a_line_without_end_ends_the_talk() -> None:
    with pytest.raises(PeerGone, match="more than"):
        list(Lines().feed(b"x" * (LINE_MAX + 1)))
