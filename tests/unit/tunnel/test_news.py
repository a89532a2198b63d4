"""Which messages are about what is ours."""

import struct

import pytest

from outgate.tunnel.news import concerns

OURS, OTHER = 7, 8


def news(kind: int, body: bytes, *, index: int = OURS) -> bool:
    return concerns(kind, body, index=index, device="outgate", protocol=178)


def of_link(index: int) -> bytes:
    """ifinfomsg, ifaddrmsg and ndmsg have the index at the same place."""
    return struct.pack("=4xi8x", index)


@pytest.mark.parametrize("kind", [16, 17, 20, 21, 28, 29])
def test_links_addresses_and_neighbours_count_if_they_are_of_our_device(kind: int) -> None:
    assert news(kind, of_link(OURS))
    assert not news(kind, of_link(OTHER))


def test_a_new_device_of_our_name_counts_whatever_its_number() -> None:
    assert news(16, of_link(OTHER) + b"\x0c\x00\x03\x00outgate\x00", index=0)
    assert not news(16, of_link(OTHER) + b"\x0c\x00\x03\x00outgate2\x00", index=0)


def test_routes_count_by_their_protocol() -> None:
    assert news(25, struct.pack("=5xB6x", 178))
    assert not news(25, struct.pack("=5xB6x", 2))


def test_every_ip_rule_counts() -> None:
    assert news(33, bytes(12))


def test_settings_count_if_they_are_of_our_device() -> None:
    assert news(80, struct.pack("=4xHHi", 8, 1, OURS))
    assert not news(80, struct.pack("=4xHHi", 8, 1, OTHER))
    assert not news(80, b"\x02\x00\x00\x00")
