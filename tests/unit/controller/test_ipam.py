import random
from ipaddress import ip_address

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


def wish(key: str, method: Method = "Default", *, created: str = "", **had: str) -> Wish:
    return Wish(key=key, uid=f"uid-{key}", created=created, method=method, **had)


def given(pools: GatewayPools, *wishes: Wish) -> dict[str, str]:
    return {key: str(grant.ipv4 or "") for key, grant in allocate(pools, wishes).items()}


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
    kept = wish("a", method, had_method=method, had4="192.0.2.3", created="2")
    older = wish("b", method, created="1")
    got = given(THREE, kept, older)
    assert got["a"] == "192.0.2.3"
    assert got["b"] != "192.0.2.3"


def test_pick_of_another_method_is_not_kept() -> None:
    changed = wish("a", "RoundRobin", had_method="Default", had4="192.0.2.3")
    assert given(THREE, changed)["a"] == "192.0.2.1"


def test_pick_that_left_the_pool_is_made_anew() -> None:
    moved = wish("a", "RoundRobin", had_method="RoundRobin", had4="203.0.113.1")
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
    assert (str(grant.ipv4), str(grant.ipv6)) == ("192.0.2.1", "2001:db8::1")


def test_one_family_exhausted_leaves_the_other_served() -> None:
    dual = gateway(family("192.0.2.1"), family("2001:db8::/64", version=6))
    grant = allocate(dual, [wish("a", "Random"), wish("b", "Random", created="1")])["b"]
    assert grant.ipv4 is None
    assert grant.ipv6 is not None
    assert lack(grant) == "PoolExhausted"


@pytest.mark.parametrize("asked", ["192.0.2.2", "192.0.2.9", "bad", "2001:db8::1"])
def test_refused_address_gets_nothing_of_either_family(asked: str) -> None:
    pools = gateway(
        family("192.0.2.1-192.0.2.3", reserved="192.0.2.2"), family("2001:db8::/64", version=6)
    )
    grant = allocate(pools, [wish("a", "Fixed", fixed4=asked)])["a"]
    assert (grant.ipv4, grant.ipv6) == (None, None)
    assert lack(grant) == ("AddressReserved" if asked == "192.0.2.2" else "AddressNotInPool")


def test_ceded_address_names_its_owner() -> None:
    ceded, _ = read_pool(("192.0.2.9",), 4)
    pools = gateway(FamilyPool(4, True, Pool.of(4, ()), Pool.of(4, ()), ceded=(("elder", ceded),)))
    grant = allocate(pools, [wish("a", "Fixed", fixed4="192.0.2.9")])["a"]
    assert grant.shortfall is not None
    assert "elder" in grant.shortfall.message


def test_order_of_wishes_does_not_matter() -> None:
    methods: list[Method] = ["Default", "RoundRobin", "Random"]
    wishes = [wish(f"p{n}", methods[n % 3], created=str(n % 2)) for n in range(12)]
    pools = gateway(family("192.0.2.1-192.0.2.9"), family("2001:db8::/64", version=6))
    expected = allocate(pools, wishes)
    for seed in range(5):
        random.Random(seed).shuffle(wishes)
        assert allocate(pools, wishes) == expected
