import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgate.agent.probes.echo import HEADER, REPLY, Family, answers, checksum, request

TOKEN = bytes(range(16))


def test_a_request_is_as_the_rfc_says() -> None:
    message = request(TOKEN, family=4)
    assert HEADER.unpack(message[:8]) == (8, 0, message[2] << 8 | message[3], 0, 1)
    assert message[8:] == TOKEN
    assert checksum(message) == 0  # as a receiver verifies it
    assert request(TOKEN, family=6)[:4] == b"\x80\x00\x00\x00"


@given(st.binary(max_size=64))
def test_a_message_with_its_checksum_sums_to_zero(data: bytes) -> None:
    data += b"\0" * (len(data) % 2)
    assert checksum(data + checksum(data).to_bytes(2, "big")) == 0


@pytest.mark.parametrize("family", [4, 6])
def test_only_the_reply_with_the_token_is_an_answer(family: Family) -> None:
    reply = HEADER.pack(REPLY[family], 0, 1, 2, 3)
    assert answers(reply + TOKEN, TOKEN, family=family)
    assert not answers(reply + TOKEN[::-1], TOKEN, family=family)
    assert not answers(reply, TOKEN, family=family)
    assert not answers(request(TOKEN, family=family), TOKEN, family=family)
    assert not answers(b"", TOKEN, family=family)


def test_a_raw_socket_gives_the_ip_header_too_with_its_options() -> None:
    reply = HEADER.pack(REPLY[4], 0, 1, 2, 3) + TOKEN
    assert answers(b"\x45" + bytes(19) + reply, TOKEN, family=4, with_header=True)
    assert answers(b"\x46" + bytes(23) + reply, TOKEN, family=4, with_header=True)
    assert not answers(b"", TOKEN, family=4, with_header=True)


@given(st.binary(max_size=80), st.booleans())
def test_no_bytes_break_it(data: bytes, with_header: bool) -> None:
    assert not answers(data, TOKEN, family=4, with_header=with_header)
