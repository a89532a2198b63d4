"""Counts of the kernel get the names of those that they are about."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address

from views import SETTINGS, SMALL_GATEWAY

from outgate.agent.traffic import read
from outgate.rules.counts import Count
from outgate.rules.plan import plan
from outgate.rules.words import LOCAL

PLANNED = plan(SMALL_GATEWAY, SETTINGS)


def mark(value: int) -> bytes:
    return value.to_bytes(4, sys.byteorder)


class Counted:
    """Sets that have counted; each has an element that nobody knows."""

    def __init__(self, sets: Mapping[str, Mapping[bytes, Count]]) -> None:
        self._sets = sets

    def named(self) -> Mapping[str, Count]:
        return {"leak": Count(1, 60)}

    def of_set(self, name: str) -> Mapping[bytes, Count]:
        return {mark(0x7777): Count(9, 9), **self._sets.get(name, {})}


def test_policies_are_known_by_their_numbers() -> None:
    number = mark(LOCAL | PLANNED.numbers["team/partner"])
    counted = Counted(
        {
            "policy_out": {number: Count(3, 300)},
            "policy_in": {number: Count(2, 200)},
            "policy_dropped": {number: Count(1, 60)},
        }
    )

    traffic = read(counted, PLANNED)

    assert traffic.policies == {
        ("team/partner", "out"): Count(3, 300),
        ("team/partner", "in"): Count(2, 200),
    }
    assert traffic.policies_dropped == {"team/partner": Count(1, 60)}


def test_addresses_are_known_by_what_they_are_outwards_by_their_ids_inwards() -> None:
    out4, out6 = ip_address("198.51.100.7"), ip_address("2001:db8:e::7")
    counted = Counted(
        {
            "source4": {out4.packed: Count(3, 300)},
            "source6": {out6.packed: Count(4, 400)},
            "address_in4": {mark(1 << 16): Count(2, 200)},
        }
    )

    traffic = read(counted, PLANNED)

    assert traffic.addresses[str(out4), "out"] == Count(3, 300)
    assert traffic.addresses[str(out6), "out"] == Count(4, 400)
    assert traffic.addresses[str(out4), "in"] == Count(2, 200)


def test_before_the_first_plan_there_are_only_drops() -> None:
    assert read(Counted({}), None).dropped == {"leak": Count(1, 60)}


def test_a_policys_number_outlives_the_others() -> None:
    fewer = {key: each for key, each in SMALL_GATEWAY.policies.items() if key != "cluster/all"}
    pods = {pod: tuple(k for k in keys if k in fewer) for pod, keys in SMALL_GATEWAY.pods.items()}

    after = plan(replace(SMALL_GATEWAY, policies=fewer, pods=pods), SETTINGS)

    assert after.numbers.items() <= PLANNED.numbers.items()
