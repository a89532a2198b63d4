"""Which link an address goes on, and what changes for it."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from outgate.vip.model import Holding, Link, Observed
from outgate.vip.placement import changes, place, uplinks_down

LAN = Link("eth0", "02:aa:00:00:00:01", True, frozenset({ip_network("192.0.2.0/24")}))
DMZ = Link(
    "eth1",
    "02:aa:00:00:00:02",
    True,
    frozenset({ip_network("203.0.113.0/24"), ip_network("2001:db8:1::/64")}),
)
VIP = ip_address("203.0.113.7")


def observed(owned: tuple[Holding, ...] = (), foreign: tuple[Holding, ...] = ()) -> Observed:
    return Observed(frozenset(owned), frozenset(foreign), frozenset({LAN, DMZ}))


def test_an_address_goes_on_the_link_of_its_network() -> None:
    assert place(VIP, [LAN, DMZ], default="eth0") == "eth1"
    assert place(ip_address("2001:db8:1::7"), [LAN, DMZ], default="eth0") == "eth1"


def test_an_address_of_no_connected_network_goes_on_the_underlay() -> None:
    assert place(ip_address("198.51.100.7"), [LAN, DMZ], default="eth0") == "eth0"


def test_the_longer_prefix_wins_and_a_link_that_is_down_never_does() -> None:
    narrow = Link("eth2", "02:aa:00:00:00:03", True, frozenset({ip_network("203.0.113.0/28")}))
    assert place(VIP, [LAN, DMZ, narrow], default="eth0") == "eth2"
    down = Link("eth2", "02:aa:00:00:00:03", False, narrow.connected)
    assert place(VIP, [LAN, DMZ, down], default="eth0") == "eth1"


@pytest.mark.parametrize(
    ("down", "addresses", "told"),
    [
        ("", ["203.0.113.7", "198.51.100.7"], ()),
        ("eth1", ["203.0.113.7", "2001:db8:1::7", "198.51.100.7"], ("eth1",)),
        ("eth1", ["198.51.100.7", "192.0.2.7"], ()),
        ("eth0", ["198.51.100.7"], ("eth0",)),  # the underlay, where no link's network has it
        ("eth0", ["203.0.113.7"], ()),
        ("eth0 eth1", ["203.0.113.7", "198.51.100.7"], ("eth0", "eth1")),
        ("eth1", [], ()),
    ],
)
def test_an_uplink_is_down_if_no_link_of_some_address_is_up(
    down: str, addresses: list[str], told: tuple[str, ...]
) -> None:
    links = [replace(link, up=link.name not in down.split()) for link in (LAN, DMZ)]
    assert uplinks_down(map(ip_address, addresses), links, default="eth0") == told


def test_of_two_links_to_a_network_one_that_is_up_is_enough() -> None:
    second = replace(DMZ, name="eth2", mac="02:aa:00:00:00:03")
    assert uplinks_down([VIP], [LAN, replace(DMZ, up=False), second], default="eth0") == ()


def test_what_is_held_and_not_wanted_goes_first_and_what_is_wanted_comes() -> None:
    old = Holding(ip_address("203.0.113.8"), "eth1")
    todo = changes(observed((old,)), [VIP], default="eth0")
    assert todo.remove == (old,)
    assert todo.add == todo.hold == (Holding(VIP, "eth1"),)


def test_an_address_on_the_wrong_link_moves() -> None:
    todo = changes(observed((Holding(VIP, "eth0"),)), [VIP], default="eth0")
    assert todo.remove == (Holding(VIP, "eth0"),)
    assert todo.add == (Holding(VIP, "eth1"),)


def test_a_foreign_owners_address_is_refused_and_left_alone() -> None:
    todo = changes(observed(foreign=(Holding(VIP, "eth1"),)), [VIP], default="eth0")
    assert (todo.remove, todo.add, todo.hold) == ((), (), ())
    assert todo.refused == ((VIP, "already on eth1, and not put there by us"),)


def test_a_link_that_is_not_there_is_named() -> None:
    todo = changes(observed(), [ip_address("198.51.100.7")], default="bond0")
    assert todo.refused[0][1] == "there is no Ethernet link 'bond0' to put it on"


def test_nothing_changes_when_all_is_as_it_should_be() -> None:
    todo = changes(observed((Holding(VIP, "eth1"),)), [VIP], default="eth0")
    assert (todo.remove, todo.add) == ((), ())
