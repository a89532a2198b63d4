from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether

from bench.failover.frames import (
    IsAt,
    advertisement,
    arp_reply,
    arp_request,
    datagram,
    echo_reply,
    echo_request,
    is_at,
    read_datagram,
    solicitations,
    who_has,
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


TARGET6, SOURCE6 = IPv6Address("2001:db8::1:2:3"), IPv6Address("2001:db8::1")


def test_the_group_of_an_ipv6_address_is_asked_for_it_and_so_is_the_address() -> None:
    asked = solicitations(mac=MAC, source=SOURCE6, target=TARGET6)
    group, alone = (Ether(frame) for frame in asked)
    assert (group.dst, group[IPv6].dst) == ("33:33:ff:02:00:03", "ff02::1:ff02:3")
    assert (alone.dst, alone[IPv6].dst) == ("ff:ff:ff:ff:ff:ff", str(TARGET6))
    for frame, content in zip((group, alone), asked, strict=True):
        assert (frame.src, frame[IPv6].src, frame[IPv6].hlim) == (
            "02:30:00:00:00:01",
            str(SOURCE6),
            255,
        )
        assert frame[ICMPv6ND_NS].tgt == str(TARGET6)
        assert frame[ICMPv6NDOptSrcLLAddr].lladdr == "02:30:00:00:00:01"
        again = frame.copy()
        del again[ICMPv6ND_NS].cksum
        assert bytes(again) == content


def advertised(*, solicited: int = 1, hops: int = 255, option: bool = True) -> bytes:
    frame = Ether() / IPv6(src=str(TARGET6), dst=str(SOURCE6), hlim=hops)
    frame /= ICMPv6ND_NA(R=1, S=solicited, O=1, tgt=str(TARGET6))
    if option:
        frame /= ICMPv6NDOptDstLLAddr(lladdr="02:30:00:00:00:02")
    return bytes(frame)


def test_an_advertisement_says_at_which_mac_the_address_is() -> None:
    assert advertisement(advertised()) == IsAt(TARGET6, 0x023000000002)


@pytest.mark.parametrize(
    "frame",
    [
        advertised(solicited=0),
        advertised(hops=254),
        advertised(option=False),
        advertised()[:80],
        bytes(Ether() / IPv6() / ICMPv6ND_NS() / ICMPv6NDOptSrcLLAddr() / bytes(8)),
        b"",
    ],
    ids=["an announcement", "forwarded", "no MAC", "half a frame", "a question", "nothing"],
)
def test_what_is_no_answer_to_a_solicitation_is_none(frame: bytes) -> None:
    assert advertisement(frame) is None


def test_both_families_are_asked_and_read_alike() -> None:
    assert who_has(mac=MAC, source=SOURCE, target=TARGET) == (
        arp_request(mac=MAC, source=SOURCE, target=TARGET),
    )
    assert len(who_has(mac=MAC, source=SOURCE6, target=TARGET6)) == 2
    assert is_at(answer()) == arp_reply(answer())
    assert is_at(advertised()) == advertisement(advertised())
    with pytest.raises(TypeError, match="can't ask"):
        who_has(mac=MAC, source=SOURCE, target=TARGET6)


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
