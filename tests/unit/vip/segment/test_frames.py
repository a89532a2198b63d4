"""The frames that ask, against scapy's own, byte for byte; and the replies, read."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgate.api.view import IPAddress
from outgate.vip.frames import prepare
from outgate.vip.segment.frames import EchoReply, echo_reply, echo_request, probe
from outgate.vip.wire import warm

prepare()  # before scapy's layers, so that they come in as in the process that builds templates

from scapy.layers.inet import ICMP, IP, IPOption_NOP  # noqa: E402
from scapy.layers.inet6 import (  # noqa: E402
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether  # noqa: E402
from scapy.packet import Packet  # noqa: E402

MAC, ROUTER = "02:aa:00:00:00:01", "02:cc:00:00:00:01"
NUMBERS = st.integers(0, 0xFFFF)


@pytest.fixture(autouse=True, scope="module")
def _templates() -> None:
    warm()  # else the first example takes as long as scapy's start


def _hardware(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


@given(st.ip_addresses(v=4))
def test_an_arp_probe_is_as_rfc_5227_has_it(address: IPv4Address) -> None:
    arp = ARP(op=1, hwsrc=MAC, psrc="0.0.0.0", hwdst="00:00:00:00:00:00", pdst=str(address))
    whole = Ether(dst="ff:ff:ff:ff:ff:ff", src=MAC) / arp
    assert probe(address, _hardware(MAC)) == bytes(whole)


@given(st.ip_addresses(v=6))
def test_a_solicitation_is_as_rfc_4862_has_it(address: IPv6Address) -> None:
    low = address.packed[-3:]
    group = IPv6Address(IPv6Address("ff02::1:ff00:0").packed[:13] + low)
    whole = (
        Ether(dst=f"33:33:ff:{low.hex(':')}", src=MAC)
        / IPv6(src="::", dst=str(group), hlim=255)
        / ICMPv6ND_NS(tgt=str(address))
    )
    assert probe(address, _hardware(MAC)) == bytes(whole)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), NUMBERS, NUMBERS)
def test_an_echo_request_is_as_rfc_792_has_it(
    source: IPv4Address, destination: IPv4Address, identifier: int, sequence: int
) -> None:
    whole = (
        Ether(dst=ROUTER, src=MAC)
        / IP(src=str(source), dst=str(destination), id=0, flags="DF")
        / ICMP(type=8, id=identifier, seq=sequence)
    )
    assert _request(source, destination, identifier, sequence) == bytes(whole)


@given(st.ip_addresses(v=6), st.ip_addresses(v=6), NUMBERS, NUMBERS)
def test_an_echo_request_is_as_rfc_4443_has_it(
    source: IPv6Address, destination: IPv6Address, identifier: int, sequence: int
) -> None:
    whole = (
        Ether(dst=ROUTER, src=MAC)
        / IPv6(src=str(source), dst=str(destination))
        / ICMPv6EchoRequest(id=identifier, seq=sequence)
    )
    assert _request(source, destination, identifier, sequence) == bytes(whole)


def _request(source: IPAddress, destination: IPAddress, identifier: int, sequence: int) -> bytes:
    return echo_request(
        source,
        destination,
        mac=_hardware(MAC),
        router_mac=_hardware(ROUTER),
        identifier=identifier,
        sequence=sequence,
    )


VIP4, OUT4 = IPv4Address("203.0.113.7"), IPv4Address("203.0.113.1")
VIP6, OUT6 = IPv6Address("2001:db8::7"), IPv6Address("2001:db8::1")
BACK = Ether(dst=MAC, src=ROUTER)


@pytest.mark.parametrize(
    ("frame", "source", "destination"),
    [
        (BACK / IP(src=str(OUT4), dst=str(VIP4)) / ICMP(type=0, id=7, seq=9), OUT4, VIP4),
        (
            BACK
            / IP(src=str(OUT4), dst=str(VIP4), options=[IPOption_NOP()])
            / ICMP(type=0, id=7, seq=9),
            OUT4,
            VIP4,
        ),
        (BACK / IPv6(src=str(OUT6), dst=str(VIP6)) / ICMPv6EchoReply(id=7, seq=9), OUT6, VIP6),
    ],
)
def test_a_reply_says_who_answered_whom_and_where(
    frame: Packet, source: IPAddress, destination: IPAddress
) -> None:
    assert echo_reply(bytes(frame)) == EchoReply(_hardware(MAC), source, destination, 7, 9)


@pytest.mark.parametrize(
    "frame",
    [
        BACK / IP(src=str(OUT4), dst=str(VIP4)) / ICMP(type=8),
        BACK / IP(src=str(OUT4), dst=str(VIP4), ihl=1) / ICMP(type=0),
        BACK / IPv6(src=str(OUT6), dst=str(VIP6)) / ICMPv6EchoRequest(),
        BACK / ARP(),
    ],
)
def test_anything_else_is_no_reply(frame: Packet) -> None:
    assert echo_reply(bytes(frame)) is None


@given(st.sampled_from((b"\x08\x00\x45", b"\x86\xdd\x60")), st.binary(max_size=90))
def test_no_frame_raises(kind: bytes, rest: bytes) -> None:
    frame = bytes(12) + kind + rest
    for end in (len(frame), len(frame) // 2, 13, 0):
        echo_reply(frame[:end])
