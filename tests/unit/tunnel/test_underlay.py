"""Which interface the outer packets leave by."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from outgate.tunnel.errors import NoUnderlay
from outgate.tunnel.underlay import DefaultRoute, Host, Interface, choose

ETH0 = Interface("eth0", 1500, (ip_address("192.0.2.1"), ip_address("2001:db8::1")))
ETH1 = Interface("eth1", 9000, (ip_address("2001:db8:1::1"),))
HOST = Host((ETH0, ETH1), (DefaultRoute("eth1", 6, 100), DefaultRoute("eth0", 4, 100)))


def test_the_default_routes_interface_is_found() -> None:
    underlay = choose(HOST, "defaultRouteInterface")

    assert (underlay.interface, str(underlay.ipv4), str(underlay.ipv6)) == (
        "eth0",
        "192.0.2.1",
        "2001:db8::1",
    )
    assert underlay.tunnel_mtu == 1450


def test_of_two_default_routes_the_smaller_metric_counts() -> None:
    routes = (DefaultRoute("eth0", 6, 200), DefaultRoute("eth1", 6, 100))

    assert choose(replace(HOST, default_routes=routes), "defaultRouteInterface").interface == "eth1"


def test_a_named_interface_is_taken_over_ipv6_if_it_has_no_ipv4() -> None:
    underlay = choose(HOST, "interface=eth1")

    assert underlay.address == ip_address("2001:db8:1::1")
    assert underlay.tunnel_mtu == 8930


@pytest.mark.parametrize(
    ("host", "setting", "reason"),
    [
        (HOST, "interface=eth9", "no interface eth9"),
        (HOST, "interface=", "neither"),
        (HOST, "eth0", "neither"),
        (replace(HOST, default_routes=()), "defaultRouteInterface", "no default route"),
        (Host((replace(ETH0, addresses=()),), ()), "interface=eth0", "no global address"),
    ],
)
def test_without_one_the_error_says_why(host: Host, setting: str, reason: str) -> None:
    with pytest.raises(NoUnderlay, match=reason):
        choose(host, setting)
