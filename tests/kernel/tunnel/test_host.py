"""What is read of a real host to choose the underlay, and the device's own settings."""

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from kernel.harness import Namespace
from views import SETTINGS, SMALL

from outgate.tunnel.diff import diff
from outgate.tunnel.kernel import MeshKernel
from outgate.tunnel.model import Mesh
from outgate.tunnel.plan import plan
from outgate.tunnel.underlay import choose

pytestmark = pytest.mark.kernel


@pytest.fixture
def host() -> Iterator[Namespace]:
    namespace = Namespace("host")
    try:
        namespace.ip(
            "link add eth0 type veth peer name other",
            "link set eth0 mtu 1400 up",
            "link set other up",
            "addr add 192.0.2.1/24 dev eth0",
            "addr add 2001:db8::1/64 dev eth0 nodad",
            "route add default via 192.0.2.254",
        )
        yield namespace
    finally:
        namespace.delete()


def test_the_underlay_is_read_from_the_host(host: Namespace) -> None:
    underlay = choose(MeshKernel(SETTINGS, namespace=host.path).host(), "defaultRouteInterface")

    assert underlay.interface == "eth0"
    assert underlay.ipv4 == ip_address("192.0.2.1")
    assert underlay.ipv6 == ip_address("2001:db8::1")
    assert underlay.tunnel_mtu == 1350


def test_the_device_is_no_underlay_of_its_own(host: Namespace) -> None:
    kernel = MeshKernel(SETTINGS, namespace=host.path)
    kernel.apply(diff(kernel.observe(), plan(SMALL, SETTINGS)))

    assert "outgate" not in {each.name for each in kernel.host().interfaces}


def test_the_device_has_a_loose_filter_and_no_link_local_address(host: Namespace) -> None:
    kernel = MeshKernel(SETTINGS, namespace=host.path)
    kernel.apply(diff(kernel.observe(), plan(SMALL, SETTINGS)))

    assert host.run("sysctl -n net.ipv4.conf.outgate.rp_filter").strip() == "2"
    assert "fe80" not in host.run("ip -6 addr show dev outgate")


def test_a_foreign_device_of_our_name_is_made_anew(host: Namespace) -> None:
    host.ip("link add outgate type veth peer name foreign")
    kernel = MeshKernel(SETTINGS, namespace=host.path)

    kernel.apply(diff(kernel.observe(), plan(SMALL, SETTINGS)))

    assert kernel.observe() == plan(SMALL, SETTINGS)


def test_cleanup_leaves_others_routes_and_rules(host: Namespace) -> None:
    host.ip("rule add fwmark 0x1/0xff lookup 55 priority 90", "route add 198.51.100.0/24 dev eth0")
    before = host.state()
    kernel = MeshKernel(SETTINGS, namespace=host.path)
    kernel.apply(diff(kernel.observe(), plan(SMALL, SETTINGS)))

    kernel.cleanup()

    assert host.state() == before
    assert kernel.observe() == Mesh()
