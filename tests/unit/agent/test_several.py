"""A policy with several addresses: an entry for each, and each pod under one of them."""

from collections import Counter
from ipaddress import ip_address
from typing import Any

from unit.agent.cluster import gateway, keyed, outcome, pod, policy

from outgate.agent.egress import Entry, spread
from outgate.api.policy import AssignedEIP, PolicyStatus
from outgate.api.view import NO_EGRESS, NodeView

PODS = [f"shop/web-{number}/uid-{number}" for number in range(3000)]


def entries(*numbers: int) -> tuple[Entry, ...]:
    return tuple(Entry(n, 100 + n, f"203.0.113.{n}") for n in numbers)


def names(given: tuple[Entry, ...], version: int = 4) -> dict[str, str]:
    return {name: given[spread(name, given, version)].name for name in PODS}


def test_the_shares_are_even() -> None:
    shares = Counter(names(entries(1, 2, 3, 4)).values())
    assert len(shares) == 4
    assert all(abs(share - 750) < 75 for share in shares.values()), shares


def test_an_address_more_draws_its_share_and_moves_nobody_else() -> None:
    before, after = names(entries(1, 2, 3)), names(entries(1, 2, 3, 4))
    moved = {name for name in PODS if before[name] != after[name]}
    assert {after[name] for name in moved} == {"203.0.113.4"}
    assert 650 < len(moved) < 850


def test_an_address_less_moves_its_own_pods_only_wherever_it_stood() -> None:
    before, after = names(entries(1, 2, 3, 4)), names(entries(1, 3, 4))
    moved = {name for name in PODS if before[name] != after[name]}
    assert {before[name] for name in moved} == {"203.0.113.2"}


def test_the_order_of_the_addresses_does_not_matter() -> None:
    assert names(entries(3, 1, 2)) == names(entries(1, 2, 3))


def test_both_families_agree_as_long_as_both_are_there() -> None:
    given = entries(1, 2, 3)
    assert names(given, 4) == names(given, 6)
    # The second has no IPv6 address: only its own pods look elsewhere, and in IPv6 only.
    short = (given[0], Entry(2, NO_EGRESS, "203.0.113.2"), given[2])
    assert names(short, 4) == names(given, 4)
    six = names(short, 6)
    assert all(six[p] == name for p, name in names(given, 4).items() if name != "203.0.113.2")
    assert "203.0.113.2" not in six.values()


def test_where_no_address_leads_anywhere_all_is_closed_but_answered() -> None:
    closed = tuple(Entry(NO_EGRESS, NO_EGRESS, f"203.0.113.{n}") for n in (1, 2))
    assert closed[spread(PODS[0], closed, 4)].egress4 == NO_EGRESS


EIPS = [(f"203.0.113.10{n}", f"2001:db8:1::10{n}") for n in (1, 2, 3)]
HELD = [
    entry
    for n, (v4, v6) in enumerate(EIPS, start=1)
    for entry in ((v4, 10 + n, "node-b"), (v6, 60 + n, "node-b"))
]


def status(count: int) -> PolicyStatus:
    eips = tuple(AssignedEIP(ipv4=v4, ipv6=v6) for v4, v6 in EIPS[:count])
    return PolicyStatus(gateway="egw", eip=eips[0], eips=eips)


def view(count: int, *, pods: int = 40, **changes: Any) -> NodeView:
    running = [
        pod(f"web-{n}", ips=(f"10.244.1.{n}", f"fd00:1::{n:x}"), uid=f"uid-{n}")
        for n in range(1, pods + 1)
    ]
    made = outcome(
        pods=keyed(*running),
        policies=keyed(policy(status=status(count))),
        gateways=keyed(gateway(*HELD)),
        **changes,
    ).view
    assert made is not None
    return made


def test_a_policy_with_several_addresses_has_an_entry_for_each() -> None:
    made = view(3)
    assert {key: (each.egress4, each.egress6) for key, each in made.policies.items()} == {
        "shop/p": (11, 61),
        "shop/p#2": (12, 62),
        "shop/p#3": (13, 63),
    }
    assert {each.key for each in made.policies.values()} == {"shop/p"}
    assert len({each.rank for each in made.policies.values()}) == 1


def test_each_pod_is_under_one_entry_and_the_same_in_both_families() -> None:
    made = view(3)
    assert len(made.pods) == 80
    assert all(len(keys) == 1 for keys in made.pods.values())
    for n in range(1, 41):
        assert made.pods[ip_address(f"10.244.1.{n}")] == made.pods[ip_address(f"fd00:1::{n:x}")]
    assert {keys[0] for keys in made.pods.values()} == {"shop/p", "shop/p#2", "shop/p#3"}


def test_other_policies_of_the_pod_are_beside_the_one_entry() -> None:
    other = policy("q", dest=("192.0.2.0/24",), status=status(2))
    made = view(3).policies
    both = outcome(
        pods=keyed(pod(uid="uid")),
        policies=keyed(policy(status=status(3)), other, policy("single")),
        gateways=keyed(gateway(*HELD)),
    ).view
    assert both is not None
    for keys in both.pods.values():
        assert [both.policies[key].key for key in keys] == ["shop/p", "shop/q", "shop/single"]
        assert list(keys) == sorted(keys)
    assert set(made) < set(both.policies)


def test_a_pod_made_anew_under_its_old_name_may_get_another_address() -> None:
    def entry(uid: str) -> str:
        made = outcome(
            pods=keyed(pod(uid=uid)),
            policies=keyed(policy(status=status(3))),
            gateways=keyed(gateway(*HELD)),
        ).view
        assert made is not None
        return made.pods[ip_address("10.244.1.5")][0]

    assert len({entry(f"uid-{n}") for n in range(20)}) == 3
