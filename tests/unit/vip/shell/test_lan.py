"""The links that the segment is asked and heard on."""

from ipaddress import ip_address, ip_network

from outgate.vip.model import Holding, Link, Observed
from outgate.vip.segment import LanLink
from outgate.vip.shell.lan import lan_links


def link(name: str, *networks: str, up: bool = True) -> Link:
    return Link(name, f"02:aa:00:00:00:0{name[-1]}", up, frozenset(map(ip_network, networks)))


def on(interface: str, *addresses: str) -> frozenset[Holding]:
    return frozenset(Holding(ip_address(one), interface) for one in addresses)


ETH0 = link("eth0", "203.0.113.0/24", "2001:db8::/64")
ETH1 = link("eth1", "198.51.100.0/24")
ETH2 = link("eth2")
SEEN = Observed(
    owned=on("eth0", "203.0.113.7"),
    foreign=on("eth0", "203.0.113.9", "203.0.113.2", "fe80::1", "2001:db8::2")
    | on("eth1", "198.51.100.2"),
    links=frozenset({ETH0, ETH1, ETH2}),
    routers=on("eth0", "203.0.113.1", "fe80::ff") | on("eth1", "198.51.100.1"),
)


def test_a_link_with_its_router_and_an_address_of_the_nodes_own() -> None:
    (heard,) = lan_links(SEEN, [ip_address("203.0.113.7")], default="eth2")
    assert (heard.name, heard.mac) == ("eth0", ETH0.mac)
    assert heard.router4 == ip_address("203.0.113.1")
    assert (heard.own4, heard.own6) == (ip_address("203.0.113.2"), ip_address("2001:db8::2"))


def test_routers_with_link_local_addresses_are_asked_too() -> None:
    (heard,) = lan_links(SEEN, [ip_address("2001:db8::7")], default="eth2")
    assert heard.router6 == ip_address("fe80::ff")


def test_an_address_of_no_links_network_may_come_to_be_on_the_default_one() -> None:
    some = [ip_address("192.0.2.7"), ip_address("198.51.100.7")]
    heard = lan_links(SEEN, some, default="eth2")
    assert [one.name for one in heard] == ["eth1", "eth2"]
    assert heard[1] == LanLink("eth2", ETH2.mac)


def test_no_addresses_no_links_and_none_that_is_not_there() -> None:
    assert lan_links(SEEN, [], default="eth2") == ()
    assert lan_links(SEEN, [ip_address("192.0.2.7")], default="eth9") == ()


def test_the_same_links_in_whatever_order_the_kernel_lists_them() -> None:
    some = [ip_address("203.0.113.7"), ip_address("198.51.100.7")]
    assert lan_links(SEEN, some, default="eth2") == lan_links(SEEN, some[::-1], default="eth2")
