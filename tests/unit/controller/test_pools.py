import time
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outgate.controller.pools import Pool, Range, read_pool, read_reserved


@pytest.mark.parametrize(
    ("entries", "version", "size", "inside", "outside"),
    [
        (("192.0.2.7",), 4, 1, "192.0.2.7", "192.0.2.8"),
        (("192.0.2.7-192.0.2.9",), 4, 3, "192.0.2.9", "192.0.2.10"),
        (("192.0.2.7 - 192.0.2.9",), 4, 3, "192.0.2.7", "192.0.2.6"),
        (("192.0.2.0/24",), 4, 254, "192.0.2.1", "192.0.2.0"),
        (("192.0.2.0/24",), 4, 254, "192.0.2.254", "192.0.2.255"),
        (("192.0.2.0/31",), 4, 2, "192.0.2.0", "192.0.2.2"),
        (("192.0.2.9/32",), 4, 1, "192.0.2.9", "192.0.2.8"),
        (("2001:db8::/64",), 6, 2**64 - 1, "2001:db8::1", "2001:db8::"),
        (("2001:db8::/64",), 6, 2**64 - 1, "2001:db8::ffff:ffff:ffff:ffff", "2001:db8:0:1::"),
        (("2001:db8::5/128",), 6, 1, "2001:db8::5", "2001:db8::6"),
        (("192.0.2.0/24", "192.0.2.0"), 4, 255, "192.0.2.0", "192.0.2.255"),
        (("192.0.2.1-192.0.2.5", "192.0.2.4-192.0.2.8"), 4, 8, "192.0.2.6", "192.0.2.9"),
    ],
)
def test_each_form_of_an_entry_gives_its_addresses(
    entries: tuple[str, ...], version: int, size: int, inside: str, outside: str
) -> None:
    pool, problems = read_pool(entries, version)
    assert problems == ()
    assert pool.size == size
    assert ip_address(inside) in pool
    assert ip_address(outside) not in pool


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("nonsense", "neither an address"),
        ("192.0.2.9/24", "write 192.0.2.0/24"),
        ("192.0.2.9-192.0.2.1", "write 192.0.2.1-192.0.2.9"),
        ("192.0.2.1-2001:db8::1", "mixes"),
        ("192.0.2.0/99", "not a CIDR"),
        ("2001:db8::1", "IPv6"),
        ("", "neither"),
    ],
)
def test_wrong_entry_is_left_out_and_told_what_would_be_right(entry: str, says: str) -> None:
    pool, problems = read_pool((entry, "192.0.2.1"), 4)
    assert pool.size == 1
    assert says in problems[0]


def test_reserved_entries_take_whole_cidrs_of_both_families() -> None:
    v4, v6, problems = read_reserved(("192.0.2.0/30", "2001:db8::/126", "bad"))
    assert (v4.size, v6.size) == (4, 4)
    assert len(problems) == 1


def test_64_bits_of_addresses_cost_microseconds() -> None:
    pool, _ = read_pool(("2001:db8::/64",), 6)
    began = time.perf_counter()
    for _ in range(1000):
        assert ip_address("2001:db8::abcd") in pool
        assert pool.has(next(pool.walk(pool.size // 2)))
    assert time.perf_counter() - began < 0.5


numbers = st.integers(0, 60)
ranges = st.lists(st.tuples(numbers, numbers).map(lambda p: Range(min(p), max(p))), max_size=6)


def members(pool: Pool) -> set[int]:
    return set(pool.walk())


@given(ranges, ranges)
@settings(deadline=None)
def test_pools_are_sets_of_addresses(one: list[Range], two: list[Range]) -> None:
    a, b = Pool.of(4, one), Pool.of(4, two)
    listed = {n for r in one for n in range(r.first, r.last + 1)}
    assert members(a) == listed
    assert a.size == len(listed)
    assert [a.at(i) for i in range(a.size)] == sorted(listed)
    assert members(a.minus(b)) == members(a) - members(b)
    assert members(a.common(b)) == members(a) & members(b)
    assert members(a.plus(b)) == members(a) | members(b)
    assert all(a.has(n) == (n in listed) for n in range(62))


@given(ranges, st.integers(0, 1000))
@settings(deadline=None)
def test_walk_goes_round_once_from_where_it_starts(one: list[Range], start: int) -> None:
    pool = Pool.of(4, one)
    if pool.size:
        walked = list(pool.walk(start % pool.size))
        assert walked[0] == pool.at(start % pool.size)
        assert len(walked) == pool.size == len(set(walked))
