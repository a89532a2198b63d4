"""Each bad object is refused by a real API server, in words that say what would be right."""

import random
import re
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from apiserver.admission import Admission
from apiserver.bad_objects import BAD, Bad
from apiserver.bad_probes import PROBES
from apiserver.good_objects import GOOD, LARGEST
from apiserver.objects import Object, gateway

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("crds")]

SEED = 7


@pytest.fixture
def admission(inside: None) -> Admission:
    return Admission.connect()


@pytest.mark.parametrize("bad", (*BAD, *PROBES), ids=lambda bad: bad.what)
def test_it_is_refused_with_what_would_be_right(admission: Admission, bad: Bad) -> None:
    refusal = admission.refusal(bad.object)
    assert [word for word in bad.words if word not in refusal] == [], refusal
    # "… evaluating rule: …" is of a rule that broke down: nobody learns anything from it.
    assert "evaluating rule" not in refusal


@pytest.mark.parametrize("name", GOOD)
def test_a_good_object_is_taken(admission: Admission, name: str) -> None:
    assert admission.refusal(GOOD[name]) == ""


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_object_is_within_the_budget_of_its_rules(
    admission: Admission, name: str
) -> None:
    assert admission.refusal(LARGEST[name]) == ""


def test_ipv4_ranges_are_ordered_as_addresses_are(admission: Admission) -> None:
    chance = random.Random(SEED)
    base = int(IPv4Address("192.0.2.0"))
    pairs = [
        (IPv4Address(base ^ low), IPv4Address(base ^ low ^ (1 << bit) ^ chance.getrandbits(bit)))
        for bit in range(24)
        for low in (chance.getrandbits(16), chance.getrandbits(24))
    ]
    refusal = admission.refusal(gateway(ipv4=[f"{low}-{high}" for low, high in pairs]))
    backwards = {at for at, (low, high) in enumerate(pairs) if low > high}
    assert _at_fault(refusal, "spec.ippools.ipv4") == backwards


def test_ipv6_ranges_are_ordered_as_addresses_are(admission: Admission) -> None:
    chance = random.Random(SEED)
    for bits in (range(60), range(60, 120)):
        pairs = []
        for bit in bits:
            low = int(IPv6Address("2001:db8::")) ^ chance.getrandbits(120)
            pairs.append(
                (IPv6Address(low), IPv6Address(low ^ (1 << bit) ^ chance.getrandbits(bit)))
            )
        refusal = admission.refusal(gateway(ipv6=[f"{low}-{high}" for low, high in pairs]))
        backwards = {at for at, (low, high) in enumerate(pairs) if low > high}
        assert _at_fault(refusal, "spec.ippools.ipv6") == backwards


@pytest.mark.parametrize("family", [4, 6])
def test_a_range_holds_its_ends_and_what_is_between(admission: Admission, family: int) -> None:
    base = ip_address("198.51.99.0" if family == 4 else "2001:db8::fffe:0")
    low, high = 250, 520
    for offset in (low - 1, low, low + 1, 256, 512, high - 1, high, high + 1):
        pools: Object = {
            f"ipv{family}": [f"{base + low}-{base + high}"],
            f"ipv{family}DefaultEIP": str(base + offset),
        }
        refusal = admission.refusal(gateway(**pools))
        assert (refusal == "") == (low <= offset <= high), refusal


def _at_fault(refusal: str, field: str) -> set[int]:
    found = re.findall(re.escape(field) + r"\[(\d+)\][^[]*?ends before it starts", refusal)
    return {int(index) for index in found}
