"""Assembled programs, run by a small machine: which frames the kernel would hand up."""

import struct

import pytest

from outgate.vip.frames import prepare
from outgate.vip.segment import filters
from outgate.vip.segment.filters import ARP_FRAMES, ND_FRAMES, SNAP, Step, assembled, echo_replies

prepare()  # before scapy's layers, so that they come in as in the process that builds templates

from scapy.layers.inet import ICMP, IP, UDP, IPOption_NOP  # noqa: E402
from scapy.layers.inet6 import (  # noqa: E402
    ICMPv6EchoReply,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether  # noqa: E402
from scapy.packet import Packet  # noqa: E402

HOST, BROADCAST, MULTICAST, OTHERHOST, OUTGOING = range(5)
SIX = Ether() / IPv6(src="::", dst="ff02::1", hlim=255)
FROM, TO = "203.0.113.1", "203.0.113.7"
FOUR = Ether() / IP(src=FROM, dst=TO)
BACK6 = Ether() / IPv6(src="2001:db8::1", dst="2001:db8::7")


def _run(steps: tuple[Step, ...], frame: bytes, packet_type: int) -> int:
    """As net/core/filter.c has it: a load beyond the end drops the frame."""
    program = list(struct.iter_unpack("=HBBI", assembled(steps)))
    at = accumulator = index = 0
    sizes = {0x20: 4, 0x28: 2, 0x30: 1, 0x48: 2, 0x50: 1}
    while True:
        code, then, otherwise, k = program[at]
        at += 1
        if code == filters.RETURN:
            return int(k)
        if code == filters.LOAD_X_IP_HEADER:
            index = 4 * (frame[k] & 0xF)
        elif k == filters.PACKET_TYPE:
            accumulator = packet_type
        elif code in sizes:
            start = k + (index if code >= 0x48 else 0)
            loaded = frame[start : start + sizes[code]]
            if len(loaded) < sizes[code]:
                return 0
            accumulator = int.from_bytes(loaded)
        else:
            holds = {
                filters.JUMP_EQUAL: accumulator == k,
                filters.JUMP_AT_LEAST: accumulator >= k,
                filters.JUMP_ANY_BIT: bool(accumulator & k),
            }[code]
            at += then if holds else otherwise


@pytest.mark.parametrize(
    ("steps", "frame", "packet_type", "passes"),
    [
        (ARP_FRAMES, Ether() / ARP(), BROADCAST, True),
        (ARP_FRAMES, Ether() / ARP(op=2), HOST, True),
        (ARP_FRAMES, Ether() / ARP(), OTHERHOST, False),
        (ARP_FRAMES, Ether() / ARP(), OUTGOING, False),
        (ARP_FRAMES, Ether() / ARP(hwtype=6), BROADCAST, False),
        (ND_FRAMES, SIX / ICMPv6ND_NS(), MULTICAST, True),
        (ND_FRAMES, SIX / ICMPv6ND_NA(), HOST, True),
        (ND_FRAMES, SIX / ICMPv6ND_NA(), OTHERHOST, False),
        (ND_FRAMES, SIX / ICMPv6ND_RA(), MULTICAST, False),
        (ND_FRAMES, SIX / UDP(), MULTICAST, False),
        (echo_replies(7), FOUR / ICMP(type=0, id=7), HOST, True),
        (
            echo_replies(7),
            Ether() / IP(src=FROM, dst=TO, options=[IPOption_NOP()]) / ICMP(type=0, id=7),
            HOST,
            True,
        ),
        (echo_replies(7), FOUR / ICMP(type=0, id=8), HOST, False),
        (echo_replies(7), FOUR / ICMP(type=8, id=7), HOST, False),
        (echo_replies(7), FOUR / ICMP(type=0, id=7), OTHERHOST, False),
        (echo_replies(7), Ether() / IP(src=FROM, dst=TO, frag=3) / ICMP(type=0, id=7), HOST, False),
        (echo_replies(7), BACK6 / ICMPv6EchoReply(id=7), HOST, True),
        (echo_replies(7), BACK6 / ICMPv6EchoReply(id=8), HOST, False),
        (echo_replies(7), BACK6 / ICMPv6ND_NA(), HOST, False),
        (echo_replies(7), Ether() / ARP(), HOST, False),
    ],
)
def test_the_kernel_hands_up_what_is_wanted(
    steps: tuple[Step, ...], frame: Packet, packet_type: int, passes: bool
) -> None:
    assert _run(steps, bytes(frame), packet_type) == (SNAP if passes else 0)


@pytest.mark.parametrize("steps", [ARP_FRAMES, ND_FRAMES, echo_replies(7)])
def test_a_frame_that_ends_early_is_dropped(steps: tuple[Step, ...]) -> None:
    whole = bytes(SIX / ICMPv6ND_NA())
    assert _run(steps, whole[:15], HOST) == 0
