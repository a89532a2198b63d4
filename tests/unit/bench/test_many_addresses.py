from ipaddress import IPv4Address

from bench.failover.sweep import Taken
from bench.many_addresses import COUNT, HOSTS, NETWORK, Round, addresses, figures, judge


def test_there_are_a_thousand_addresses_beside_those_of_the_hosts() -> None:
    found = addresses()
    assert len(set(found)) == COUNT == 1000
    assert all(address in NETWORK and address < HOSTS for address in found)


def test_a_round_tells_who_took_how_many_and_when() -> None:
    taken = {
        IPv4Address("192.0.2.1"): Taken(10.5, 7),
        IPv4Address("192.0.2.2"): Taken(10.2, 8),
        IPv4Address("192.0.2.3"): Taken(10.3, 7),
    }
    told = judge(taken, start=10.0)
    assert [round(one, 3) for one in told.took] == [0.2, 0.3, 0.5]
    assert told.heirs == {7: 2, 8: 1}
    assert told.missing == COUNT - 3


def test_the_worst_round_counts() -> None:
    even = Round((0.4,) * COUNT, {7: 500, 8: 500}, 0)
    late = Round((0.4,) * (COUNT - 1) + (1.9,), {7: 600, 8: 400}, 0)
    told = {one.id: one for one in figures([even, late])}
    assert told["last"].value == 1900
    assert told["last"].met
    assert told["spread"].value == 1.2


def test_an_address_that_nobody_took_is_the_last() -> None:
    told = {one.id: one for one in figures([Round((0.4,) * (COUNT - 1), {7: 999}, 1)])}
    assert told["last"].met is False
    assert told["missing"].value == 1
    assert told["spread"].met is False
