"""Which policy wins where."""

import time
from ipaddress import ip_address, ip_network

import pytest
from views import policy

from outgate.api.view import NO_EGRESS
from outgate.rules.resolve import Egress, EgressRange, merge, resolve, span


def addresses(first: str, last: str, id_: int, policy: str) -> EgressRange:
    return EgressRange(int(ip_address(first)), int(ip_address(last)), Egress(id_, policy))


def test_no_policies_match_nothing() -> None:
    assert resolve([], version=4).ranges == ()


def test_no_destinations_mean_all_of_both_families() -> None:
    everything = [policy("a", egress=3)]

    assert resolve(everything, version=4).ranges == (
        addresses("0.0.0.0", "255.255.255.255", 3, "a"),
    )
    assert resolve(everything, version=6).ranges == (EgressRange(0, 2**128 - 1, Egress(3, "a")),)


def test_destinations_of_one_family_match_nothing_of_the_other() -> None:
    only_ipv4 = [policy("a", destinations=("203.0.113.0/24",))]

    assert resolve(only_ipv4, version=6).ranges == ()


def test_the_more_specific_destination_wins_over_the_better_rank() -> None:
    found = resolve(
        [
            policy("wide", destinations=("203.0.113.0/24",), egress=1, order=0),
            policy("narrow", destinations=("203.0.113.64/26",), egress=2, order=1),
        ],
        version=4,
    )

    assert found.ranges == (
        addresses("203.0.113.0", "203.0.113.63", 1, "wide"),
        addresses("203.0.113.64", "203.0.113.127", 2, "narrow"),
        addresses("203.0.113.128", "203.0.113.255", 1, "wide"),
    )


def test_between_equally_specific_destinations_the_smallest_rank_wins() -> None:
    found = resolve(
        [
            policy("later", destinations=("203.0.113.0/24",), egress=1, order=1),
            policy("earlier", destinations=("203.0.113.0/24",), egress=2, order=0),
        ],
        version=4,
    )

    assert found.ranges == (addresses("203.0.113.0", "203.0.113.255", 2, "earlier"),)


def test_where_a_policy_excludes_another_one_may_apply() -> None:
    found = resolve(
        [
            policy(
                "first",
                destinations=("203.0.113.0/24",),
                exclusions=("203.0.113.0/25",),
                egress=1,
            ),
            policy("second", egress=2, destinations=("203.0.113.0/24",), order=1),
        ],
        version=4,
    )

    assert found.ranges == (
        addresses("203.0.113.0", "203.0.113.127", 2, "second"),
        addresses("203.0.113.128", "203.0.113.255", 1, "first"),
    )


def test_what_every_policy_excludes_is_matched_by_none() -> None:
    assert resolve([policy("a", exclusions=("0.0.0.0/0",))], version=4).ranges == ()


def test_adjacent_ranges_of_one_policy_are_one() -> None:
    halves = policy("a", destinations=("203.0.113.0/25", "203.0.113.128/25"))

    assert resolve([halves], version=4).ranges == (
        addresses("203.0.113.0", "203.0.113.255", 1, "a"),
    )


def test_nothing_to_leave_by_is_an_id_like_any_other() -> None:
    found = resolve(
        [
            policy("wide", destinations=("203.0.113.0/31",), egress=1),
            policy("blocked", destinations=("203.0.113.1/32",), egress=NO_EGRESS),
        ],
        version=4,
    )

    assert found.ranges == (addresses("203.0.113.0", "203.0.113.1", 1, "wide"),)
    assert found.singles == {int(ip_address("203.0.113.1")): Egress(NO_EGRESS, "blocked")}


def test_of_two_that_name_one_address_the_smaller_rank_wins() -> None:
    found = resolve(
        [
            policy("later", destinations=("203.0.113.1/32",), egress=1, order=1),
            policy("earlier", destinations=("203.0.113.1/32",), egress=2, order=0),
        ],
        version=4,
    )

    assert found.of(int(ip_address("203.0.113.1"))) == Egress(2, "earlier")


def test_an_address_that_its_own_policy_excludes_is_left_to_the_others() -> None:
    one = ("203.0.113.1/32",)
    found = resolve(
        [policy("a", destinations=one, exclusions=one, egress=1), policy("b", egress=2)], version=4
    )

    assert found.of(int(ip_address("203.0.113.1"))) == Egress(2, "b")


@pytest.mark.parametrize("version", [4, 6])
def test_ten_thousand_policies_take_well_under_a_second(version: int) -> None:
    prefix = "198.{}.{}.0/24" if version == 4 else "2001:db8:{:x}:{:x}::/64"
    many = [
        policy(
            f"{number}",
            destinations=(prefix.format(number >> 8, number & 0xFF),),
            egress=number % 60000 + 1,
        )
        for number in range(10_000)
    ]
    many.append(policy("all", exclusions=("192.0.2.0/24",), egress=60001))
    start = time.process_time()

    found = resolve(many, version=4 if version == 4 else 6)

    assert len(found.ranges) >= 10_000
    assert time.process_time() - start < 1.0


def test_networks_that_nest_or_touch_merge() -> None:
    networks = map(ip_network, ("10.0.1.0/24", "10.0.0.0/24", "10.0.0.8/29", "10.0.3.0/24"))

    assert merge(map(span, networks)) == [
        (int(ip_address("10.0.0.0")), int(ip_address("10.0.1.255"))),
        (int(ip_address("10.0.3.0")), int(ip_address("10.0.3.255"))),
    ]
