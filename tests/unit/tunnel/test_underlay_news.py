"""Which messages may change the choice of the underlay."""

import struct

import pytest

from outgate.tunnel.underlay_news import concerns

ETH0, OTHER = 2, 8
NAMED = b"\x09\x00\x03\x00eth0\x00"
MAIN = 254
OURS = 178


def news(kind: int, body: bytes, *, index: int = ETH0) -> bool:
    return concerns(kind, body, name="eth0", index=index, protocol=OURS)


def of(index: int) -> bytes:
    """ifinfomsg and ifaddrmsg have the index at the same place."""
    return struct.pack("=4xi8x", index)


def route(length: int, table: int) -> bytes:
    return struct.pack("=BBBBBBBBI", 2, length, 0, 0, table, 0, 0, 1, 0)


@pytest.mark.parametrize("kind", [16, 17, 20, 21])
def test_the_underlay_and_its_addresses_count_and_a_pods_do_not(kind: int) -> None:
    assert news(kind, of(ETH0))
    assert not news(kind, of(OTHER))


@pytest.mark.parametrize("kind", [20, 21])
def test_egress_addresses_of_ours_are_no_news_of_the_underlay(kind: int) -> None:
    local = b"\x08\x00\x02\x00" + bytes((203, 0, 113, 7))
    head = struct.pack("=BBBBi", 2, 32, 0, 0, ETH0)
    assert not news(kind, head + local + b"\x05\x00\x0b\x00" + bytes((OURS, 0, 0, 0)))
    assert news(kind, head + local + b"\x05\x00\x0b\x00" + bytes((2, 0, 0, 0)))


def test_a_device_that_takes_the_underlays_name_counts() -> None:
    assert news(16, of(OTHER) + NAMED, index=0)
    assert not news(16, of(OTHER) + b"\x0d\x00\x03\x00vetheth0\x00", index=0)


@pytest.mark.parametrize("kind", [24, 25])
def test_default_routes_of_the_main_table_count(kind: int) -> None:
    assert news(kind, route(0, MAIN))
    assert not news(kind, route(24, MAIN))
    assert not news(kind, route(0, 252))  # in a table of a larger number, such as ours


def test_neighbours_and_rules_do_not_count() -> None:
    assert not news(28, of(ETH0))
    assert not news(32, bytes(12))
