import random
from ipaddress import ip_address
from typing import Any

import pytest

from outgate.controller.ipam import (
    FamilyPool,
    GatewayPools,
    Grant,
    Method,
    Shortfall,
    Wish,
    allocate,
)
from outgate.controller.pools import Pool, read_pool


def family(*entries: str, version: int = 4, default: str = "", reserved: str = "") -> FamilyPool:
    pool, _ = read_pool(entries, version)
    kept, _ = read_pool((reserved,) if reserved else (), version)
    usable = pool.minus(kept)
    first = usable.address(usable.at(0)) if usable.size else None
    return FamilyPool(
        version=version,  # type: ignore[arg-type]
        configured=bool(entries),
        usable=usable,
        reserved=kept,
        default=ip_address(default) if default else first,
    )


def gateway(v4: FamilyPool | None = None, v6: FamilyPool | None = None) -> GatewayPools:
    return GatewayPools("gw", v4 or family(), v6 or family(version=6))


THREE = gateway(family("192.0.2.1-192.0.2.3"))


def wish(key: str, method: Method = "Default", *, created: str = "", **asked: Any) -> Wish:
    return Wish(key=key, uid=f"uid-{key}", created=created, method=method, **asked)


def several(count: int, *had: str, method: Method = "RoundRobin") -> Wish:
    """Of a policy that asks for so many, and has these (IPv4, or IPv4/IPv6)."""
    pairs = tuple((v4, v6) for v4, _, v6 in (text.partition("/") for text in had))
    return wish("a", method, count=count, had_method=method if had else "", had=pairs)


def pairs(grant: Grant) -> list[str]:
    """Each as `IPv4/IPv6`, without what is not there."""
    return ["/".join(map(str, pair.addresses())) for pair in grant.pairs]


def given(pools: GatewayPools, *wishes: Wish) -> dict[str, str]:
    """The one IPv4 address of each, if it has any."""
    grants = allocate(pools, wishes)
    assert all(len(grant.pairs) <= 1 for grant in grants.values())
    return {
        key: "".join(str(pair.ipv4 or "") for pair in grant.pairs) for key, grant in grants.items()
    }


def lack(grant: Grant) -> str:
    return grant.shortfall.reason if grant.shortfall else ""


def test_default_policies_share_the_default() -> None:
    assert given(THREE, wish("a"), wish("b")) == {"a": "192.0.2.1", "b": "192.0.2.1"}


def test_round_robin_gives_each_the_next_unused_then_goes_round() -> None:
    wishes = [wish(f"p{n}", "RoundRobin", created=f"{n}") for n in range(7)]
    got = given(THREE, *wishes)
    assert list(got.values()) == [f"192.0.2.{n}" for n in (1, 2, 3, 1, 2, 3, 1)]


def test_round_robin_passes_over_what_others_use() -> None:
    fixed = wish("f", "Fixed", fixed4="192.0.2.2")
    got = given(THREE, wish("d"), fixed, wish("r", "RoundRobin"))
    assert got["r"] == "192.0.2.3"


@pytest.mark.parametrize("method", ["RoundRobin", "Random"])
def test_pick_is_kept_while_the_policy_asks_for_the_same(method: Method) -> None:
    kept = wish("a", method, had_method=method, had=(("192.0.2.3", ""),), created="2")
    older = wish("b", method, created="1")
    got = given(THREE, kept, older)
    assert got["a"] == "192.0.2.3"
    assert got["b"] != "192.0.2.3"


def test_pick_of_another_method_is_not_kept() -> None:
    changed = wish("a", "RoundRobin", had_method="Default", had=(("192.0.2.3", ""),))
    assert given(THREE, changed)["a"] == "192.0.2.1"


def test_pick_that_left_the_pool_is_made_anew() -> None:
    moved = wish("a", "RoundRobin", had_method="RoundRobin", had=(("203.0.113.1", ""),))
    assert given(THREE, moved)["a"] == "192.0.2.1"


def test_random_pick_is_free_and_always_the_same() -> None:
    wishes = [wish(f"p{n}", "Random") for n in range(3)]
    first = given(THREE, *wishes)
    assert len(set(first.values())) == 3
    assert given(THREE, *reversed(wishes)) == first


def test_random_with_nothing_free_is_exhausted_and_told_what_would_help() -> None:
    wishes = [wish(f"p{n}", "Random", created=f"{n}") for n in range(4)]
    grant = allocate(THREE, wishes)["p3"]
    assert lack(grant) == "PoolExhausted"
    assert grant.shortfall is not None
    assert "rr shares them" in grant.shortfall.message


def test_gateway_without_addresses_is_exhausted() -> None:
    assert lack(allocate(gateway(), [wish("a")])["a"]) == "PoolExhausted"


def test_empty_pool_is_exhausted_for_every_pick() -> None:
    empty = FamilyPool(
        version=4,
        configured=True,
        usable=Pool.of(4, ()),
        reserved=Pool.of(4, ()),
        shortfall=Shortfall("PoolExhausted", "all is reserved"),
    )
    for method in ("Default", "RoundRobin", "Random"):
        assert lack(allocate(gateway(empty), [wish("a", method)])["a"]) == "PoolExhausted"


def test_both_families_are_picked() -> None:
    dual = gateway(family("192.0.2.1"), family("2001:db8::/64", version=6))
    grant = allocate(dual, [wish("a", "RoundRobin")])["a"]
    assert pairs(grant) == ["192.0.2.1/2001:db8::1"]


def test_one_family_exhausted_leaves_the_other_served() -> None:
    dual = gateway(family("192.0.2.1"), family("2001:db8::/64", version=6))
    grant = allocate(dual, [wish("a", "Random"), wish("b", "Random", created="1")])["b"]
    (pair,) = grant.pairs
    assert pair.ipv4 is None
    assert pair.ipv6 is not None
    assert lack(grant) == "PoolExhausted"


@pytest.mark.parametrize("asked", ["192.0.2.2", "192.0.2.9", "bad", "2001:db8::1"])
def test_refused_address_gets_nothing_of_either_family(asked: str) -> None:
    pools = gateway(
        family("192.0.2.1-192.0.2.3", reserved="192.0.2.2"), family("2001:db8::/64", version=6)
    )
    grant = allocate(pools, [wish("a", "Fixed", fixed4=asked)])["a"]
    assert grant.pairs == ()
    assert lack(grant) == ("AddressReserved" if asked == "192.0.2.2" else "AddressNotInPool")


def test_ceded_address_names_its_owner() -> None:
    ceded, _ = read_pool(("192.0.2.9",), 4)
    pools = gateway(FamilyPool(4, True, Pool.of(4, ()), Pool.of(4, ()), ceded=(("elder", ceded),)))
    grant = allocate(pools, [wish("a", "Fixed", fixed4="192.0.2.9")])["a"]
    assert grant.shortfall is not None
    assert "elder" in grant.shortfall.message


DUAL = gateway(family("192.0.2.1-192.0.2.4"), family("2001:db8::/64", version=6))


@pytest.mark.parametrize("method", ["RoundRobin", "Random"])
def test_several_addresses_of_each_family_are_given_in_pairs(method: Method) -> None:
    grant = allocate(DUAL, [several(3, method=method)])["a"]
    assert len({pair.ipv4 for pair in grant.pairs} - {None}) == 3
    assert len({pair.ipv6 for pair in grant.pairs} - {None}) == 3
    assert grant.shortfall is None


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, ["192.0.2.4/2001:db8::9"]),
        (2, ["192.0.2.4/2001:db8::9", "192.0.2.2/2001:db8::7"]),
        (3, ["192.0.2.4/2001:db8::9", "192.0.2.2/2001:db8::7", "192.0.2.1/2001:db8::1"]),
    ],
    ids=["fewer", "as many", "more"],
)
def test_what_a_policy_has_stays_and_the_last_go_first(count: int, expected: list[str]) -> None:
    had = several(count, "192.0.2.4/2001:db8::9", "192.0.2.2/2001:db8::7")
    assert pairs(allocate(DUAL, [had])["a"]) == expected


def test_an_address_that_left_the_pool_is_replaced_in_its_place() -> None:
    had = several(2, "203.0.113.1/2001:db8::9", "192.0.2.2/2001:db8::7")
    grant = allocate(DUAL, [had])["a"]
    assert pairs(grant) == ["192.0.2.1/2001:db8::9", "192.0.2.2/2001:db8::7"]


def test_a_family_that_comes_later_is_added_to_what_there_is() -> None:
    grant = allocate(DUAL, [several(2, "192.0.2.4", "192.0.2.2")])["a"]
    assert pairs(grant) == ["192.0.2.4/2001:db8::1", "192.0.2.2/2001:db8::2"]


@pytest.mark.parametrize(("method", "word"), [("RoundRobin", "lower count"), ("Random", "in use")])
def test_where_the_pool_is_too_small_what_there_is_is_given(method: Method, word: str) -> None:
    grant = allocate(THREE, [several(5, "192.0.2.2", method=method)])["a"]
    assert sorted(pairs(grant)) == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert pairs(grant)[0] == "192.0.2.2"
    assert lack(grant) == "PoolExhausted"
    assert grant.shortfall is not None
    assert grant.shortfall.message.startswith("3 of 5 IPv4 addresses are given: ")
    assert word in grant.shortfall.message


def test_round_robin_shares_but_never_gives_a_policy_the_same_twice() -> None:
    wishes = [wish(f"p{n}", "RoundRobin", created=f"{n}", count=2) for n in range(3)]
    grants = allocate(THREE, wishes)
    assert [pairs(grants[f"p{n}"]) for n in range(3)] == [
        ["192.0.2.1", "192.0.2.2"],
        ["192.0.2.3", "192.0.2.1"],
        ["192.0.2.2", "192.0.2.3"],
    ]


def test_one_family_that_is_short_does_not_keep_the_other_from_its_count() -> None:
    short = gateway(family("192.0.2.1"), family("2001:db8::/64", version=6))
    grant = allocate(short, [several(2)])["a"]
    assert pairs(grant) == ["192.0.2.1/2001:db8::1", "2001:db8::2"]
    assert lack(grant) == "PoolExhausted"


def test_order_of_wishes_does_not_matter() -> None:
    methods: list[Method] = ["Default", "RoundRobin", "Random"]
    wishes = [wish(f"p{n}", methods[n % 3], created=str(n % 2)) for n in range(12)]
    pools = gateway(family("192.0.2.1-192.0.2.9"), family("2001:db8::/64", version=6))
    expected = allocate(pools, wishes)
    for seed in range(5):
        random.Random(seed).shuffle(wishes)
        assert allocate(pools, wishes) == expected
