"""Which interface the mesh's outer packets leave by: chosen from what the host has. Pure."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from outgate.api.view import IPAddress
from outgate.tunnel.errors import NoUnderlay

DEFAULT_ROUTE = "defaultRouteInterface"
"""The setting: the interface of the default route. The other form is `interface=NAME`."""

_NAMED = "interface="

_OVERHEAD4 = 50  # bytes: Ethernet 14, IPv4 20, UDP 8, VXLAN 8
_OVERHEAD6 = 70


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface of the host: its usable addresses in the kernel's order, its MTU in bytes."""

    name: str
    mtu: int
    addresses: tuple[IPAddress, ...]


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """A default route of the main table."""

    interface: str
    version: int
    metric: int


@dataclass(frozen=True, slots=True)
class Host:
    """What the choice is made from."""

    interfaces: tuple[Interface, ...]
    default_routes: tuple[DefaultRoute, ...]


@dataclass(frozen=True, slots=True)
class Underlay:
    """The chosen interface, its first address of each family, its MTU in bytes."""

    interface: str
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None
    mtu: int

    @property
    def address(self) -> IPAddress:
        """Where the other nodes send outer packets: IPv4 if there is any."""
        address = self.ipv4 or self.ipv6
        assert address is not None  # `choose` makes none without
        return address

    @property
    def tunnel_mtu(self) -> int:
        """What is left for the inner packets, in bytes."""
        return self.mtu - (_OVERHEAD4 if self.address.version == 4 else _OVERHEAD6)


def choose(host: Host, setting: str) -> Underlay:
    """The interface that the setting means; NoUnderlay if the host has none, or no address on it.

    Of several default routes that of IPv4 counts first, then the one of the smallest metric.
    """
    name = _interface_name(host, setting)
    interface = next((each for each in host.interfaces if each.name == name), None)
    if interface is None:
        raise NoUnderlay(f"{setting}: this node has no interface {name}")
    ipv4 = next((each for each in interface.addresses if isinstance(each, IPv4Address)), None)
    ipv6 = next((each for each in interface.addresses if isinstance(each, IPv6Address)), None)
    if ipv4 is None and ipv6 is None:
        raise NoUnderlay(f"{setting}: interface {name} has no global address")
    return Underlay(name, ipv4, ipv6, interface.mtu)


def _interface_name(host: Host, setting: str) -> str:
    if setting.startswith(_NAMED) and len(setting) > len(_NAMED):
        return setting.removeprefix(_NAMED)
    if setting != DEFAULT_ROUTE:
        raise NoUnderlay(f"{setting!r} is neither {DEFAULT_ROUTE} nor {_NAMED}NAME")
    if not host.default_routes:
        raise NoUnderlay(f"{setting}: this node has no default route")
    return min(host.default_routes, key=lambda each: (each.version, each.metric)).interface
