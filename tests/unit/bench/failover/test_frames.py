from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether

from bench.failover.frames import (
    IsAt,
    arp_reply,
    arp_request,
    datagram,
    echo_reply,
    echo_request,
    read_datagram,
)

TARGET, SOURCE = IPv4Address("192.0.2.7"), IPv4Address("192.0.2.1")
MAC = bytes.fromhex("023000000001")


def test_everybody_is_asked_who_has_an_address() -> None:
    frame = Ether(arp_request(mac=MAC, source=SOURCE, target=TARGET))
    assert (frame.dst, frame.src) == ("ff:ff:ff:ff:ff:ff", "02:30:00:00:00:01")
    arp = frame[ARP]
    assert (arp.op, arp.psrc, arp.pdst) == (1, str(SOURCE), str(TARGET))
    assert (arp.hwsrc, arp.hwdst) == ("02:30:00:00:00:01", "00:00:00:00:00:00")


def answer(*, op: int = 2, pdst: IPv4Address = SOURCE) -> bytes:
    arp = ARP(op=op, psrc=str(TARGET), pdst=str(pdst), hwsrc="02:30:00:00:00:02")
    return bytes(Ether() / arp)


def test_an_answer_says_at_which_mac_the_address_is() -> None:
    assert arp_reply(answer()) == IsAt(TARGET, 0x023000000002)


@pytest.mark.parametrize(
    "frame",
    [answer(op=1), answer(pdst=TARGET), answer()[:30], b"", bytes(Ether() / IP())],
    ids=["a question", "an announcement", "half a frame", "nothing", "another protocol"],
)
def test_what_is_no_answer_is_none(frame: bytes) -> None:
    assert arp_reply(frame) is None


@given(st.integers(0, 0xFFFF), st.integers(0, 1 << 20))
def test_an_echo_is_answered_by_its_number(identity: int, number: int) -> None:
    request = ICMP(echo_request(identity, number))
    assert (request.type, request.id, request.seq) == (8, identity, number % 65536)
    reply = bytes(IP() / ICMP(type=0, id=identity, seq=request.seq))
    assert echo_reply(reply, identity, number + 3) == number


def test_an_echos_checksum_is_right() -> None:
    plain = echo_request(7, 9)
    again = ICMP(plain)
    del again.chksum
    assert bytes(again) == plain


@pytest.mark.parametrize(
    "packet",
    [
        bytes(IP() / ICMP(type=8, id=1, seq=0)),
        bytes(IP() / ICMP(type=0, id=2, seq=0)),
        bytes(IP() / ICMP(type=0, id=1, seq=9)),
        bytes(IP()),
        b"",
    ],
    ids=["a request", "another's", "of the future", "empty", "nothing"],
)
def test_what_is_no_echo_of_ours_is_none(packet: bytes) -> None:
    assert echo_reply(packet, 1, 5) is None


@given(st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_a_datagram_is_read_as_it_was_written(probe: int, number: int) -> None:
    assert read_datagram(datagram(probe, number)) == (probe, number)


@pytest.mark.parametrize("content", [b"", b"x" * 12, datagram(1, 2) + b"x"])
def test_other_datagrams_are_none_of_ours(content: bytes) -> None:
    assert read_datagram(content) is None
