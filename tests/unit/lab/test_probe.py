import struct
from ipaddress import ip_address

from outgate.lab import Answer
from outgate.lab.probe import _echo


def test_an_answer_is_true_only_with_a_source() -> None:
    assert Answer(ip_address("192.0.2.1"), 1)
    assert not Answer(None, error="timed out")


def test_an_echo_requests_checksum_makes_its_sum_all_ones() -> None:
    for identity in (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x12\x34\xab\xcd"):
        total = sum(struct.unpack("!4H", _echo(8, identity)))
        while total > 0xFFFF:
            total = (total & 0xFFFF) + (total >> 16)
        assert total == 0xFFFF
