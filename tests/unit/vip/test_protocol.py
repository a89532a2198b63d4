"""Lines of the Unix socket."""

import pytest

from outgate.vip.errors import PeerGone
from outgate.vip.protocol import LINE_MAX, Held, Hold, Lines, Report, encode


def test_messages_survive_the_wire_however_it_cuts_them() -> None:
    messages: list[Hold | Report] = [
        Hold(1, ("203.0.113.7", "2001:db8::7"), "eth0", standby=True),
        Report(1, (Held("203.0.113.7", "eth0", 12.5, 3), Held("2001:db8::7", error="no link"))),
    ]
    stream = b"".join(encode(message) for message in messages)
    lines = Lines()
    heard = [message for byte in stream for message in lines.feed(bytes([byte]))]
    assert heard == messages


def test_a_hold_is_plain_json() -> None:
    assert encode(Hold(7, ("203.0.113.7",), "eth0")) == (
        b'{"type":"hold","seq":7,"addresses":["203.0.113.7"],"interface":"eth0","standby":false}\n'
    )


@pytest.mark.parametrize("line", [b"nonsense\n", b'{"type":"other"}\n', b'{"type":"hold"}\n'])
def test_what_is_no_message_ends_the_talk(line: bytes) -> None:
    with pytest.raises(PeerGone, match="not a message"):
        list(Lines().feed(line))


def test_a_line_without_end_ends_the_talk() -> None:
    with pytest.raises(PeerGone, match="more than"):
        list(Lines().feed(b"x" * (LINE_MAX + 1)))
