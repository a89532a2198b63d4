"""The frames that refresh leases."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgate.vip.frames import prepare
from outgate.vip.gate.frames import (
    MARK,
    MARK_MASK,
    PROTOCOL,
    SPANS,
    frame,
    fuse_key,
    mark,
    span,
)
from outgate.vip.gate.model import Family

prepare()  # before scapy's layers

from scapy.layers.inet import IP  # noqa: E402
from scapy.layers.l2 import ARP, Ether  # noqa: E402


@given(st.integers(-1000, 100_000))
def test_a_span_is_never_longer_than_what_was_asked_for(timeout: int) -> None:
    found = span(timeout)
    assert found <= max(timeout, 0)
    assert found in (0, *SPANS)


@given(st.integers(10, 60_000))
def test_a_span_is_hardly_shorter(timeout: int) -> None:
    lost = timeout - span(timeout)
    assert lost < 5 or lost < timeout / 4
    assert timeout > 300 or lost < 5


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [(9, 0), (10, 10), (240, 240), (244, 240), (9990, 9500), (10**9, 60_000)],
)
def test_a_span_is_the_longest_that_fits(timeout: int, expected: int) -> None:
    assert span(timeout) == expected


@given(st.integers(1, 65535))
def test_a_mark_names_the_gateway_and_is_ours(number: int) -> None:
    assert mark(number) & MARK_MASK == MARK
    assert mark(number) - MARK == number


@given(st.integers(0, 2**40), st.sampled_from((0, *SPANS)))
def test_an_ip_frame_is_one_that_the_kernel_takes_and_says_fuse_and_span(
    fuse: int, length: int
) -> None:
    packet = Ether(frame(Family.INET, fuse=fuse, span=length))[IP]
    assert (packet.proto, packet.len, packet.ihl) == (PROTOCOL, 20, 5)
    assert ip_address(packet.src).packed == fuse_key(fuse)
    assert int(ip_address(packet.dst)) == length
    good, packet.chksum = packet.chksum, None
    assert IP(bytes(packet)).chksum == good


def test_an_arp_frame_says_the_same() -> None:
    packet = Ether(frame(Family.ARP, fuse=258, span=240))[ARP]
    assert (packet.psrc, packet.pdst, packet.plen, packet.hwlen) == ("0.0.1.2", "0.0.0.240", 4, 6)
