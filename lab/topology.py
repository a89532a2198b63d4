"""Hosts, addresses and ranges of a lab: pure, a function of its options.

Every lab lives in namespaces of its own, so all labs use the same addresses. Nothing here
takes 172.30.0.100-199 and fd00:30::100-1ff: these are free for egress pools.
"""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_interface,
)

from outgate.lab.errors import LabError
from outgate.lab.options import Families, Options

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network

LAN4 = IPv4Network("172.30.0.0/24")
LAN6 = IPv6Network("fd00:30::/64")
OUTSIDE4 = IPv4Network("203.0.113.0/24")
OUTSIDE6 = IPv6Network("2001:db8:cafe::/64")
PODS4 = IPv4Network("10.244.0.0/16")
PODS6 = IPv6Network("fd00:244::/56")
SERVICES4 = IPv4Network("10.96.0.0/16")
SERVICES6 = IPv6Network("fd00:96::/112")
GATEWAY_LABEL = ("egressgateway", "true")

FABRIC = "fabric"
CONTROL_PLANE = "cp"
ROUTER = "router"
OUTSIDE = "outside"


class Role(StrEnum):
    """What a host is for."""

    CONTROL_PLANE = "control-plane"
    GATEWAY = "gateway"
    WORKER = "worker"
    ROUTER = "router"
    OUTSIDE = "outside"


@dataclass(frozen=True, slots=True)
class Host:
    """One machine of the lab, with a network namespace of its own."""

    name: str
    role: Role
    number: int
    addresses: tuple[Interface, ...]
    pod_cidrs: tuple[Network, ...] = ()

    @property
    def is_node(self) -> bool:
        """Whether a kubelet runs on it."""
        return self.role in (Role.GATEWAY, Role.WORKER)

    @property
    def address(self) -> Address:
        """The first address: IPv4 where the lab has IPv4."""
        return self.addresses[0].ip

    @property
    def mac(self) -> str:
        """A fixed hardware address, so that a replaced node is the same one to its neighbours."""
        segment = 1 if self.role is Role.OUTSIDE else 0
        return f"02:30:00:00:{segment:02x}:{self.number:02x}"


@dataclass(frozen=True, slots=True)
class Topology:
    """All hosts of a lab and the ranges they share."""

    hosts: tuple[Host, ...]
    pods: tuple[Network, ...]
    services: tuple[Network, ...]

    @property
    def nodes(self) -> tuple[Host, ...]:
        """The hosts with a kubelet, gateways first."""
        return tuple(host for host in self.hosts if host.is_node)

    @property
    def lan_hosts(self) -> tuple[Host, ...]:
        """The hosts with a port on the bridge."""
        return tuple(host for host in self.hosts if host.role is not Role.OUTSIDE)

    def host(self, name: str) -> Host:
        """The host of that name; LabError lists the names that exist."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise LabError(f"no host {name!r} in this lab; there are {self._names(self.hosts)}")

    def node(self, name: str) -> Host:
        """The node of that name; LabError lists the nodes."""
        for host in self.nodes:
            if host.name == name:
                return host
        raise LabError(f"no node {name!r} in this lab; nodes are {self._names(self.nodes)}")

    @staticmethod
    def _names(hosts: tuple[Host, ...]) -> str:
        return ", ".join(host.name for host in hosts)


def topology(options: Options) -> Topology:
    """The hosts that `options` ask for."""
    four = options.families is not Families.IPV6
    six = options.families is not Families.IPV4

    def pick(v4: Network, v6: Network) -> tuple[Network, ...]:
        return tuple(net for net, wanted in ((v4, four), (v6, six)) if wanted)

    def lan(number: int) -> tuple[Interface, ...]:
        return tuple(_numbered(net, number) for net in pick(LAN4, LAN6))

    hosts = [Host(CONTROL_PLANE, Role.CONTROL_PLANE, 10, lan(10))]
    for index in range(options.nodes):
        is_gateway = index < options.gateways
        name = f"gw{index + 1}" if is_gateway else f"w{index + 1 - options.gateways}"
        cidrs = (
            IPv4Network((int(PODS4.network_address) + ((index + 1) << 8), 24)),
            IPv6Network((int(PODS6.network_address) + ((index + 1) << 64), 64)),
        )
        role = Role.GATEWAY if is_gateway else Role.WORKER
        hosts.append(Host(name, role, 11 + index, lan(11 + index), pick(*cidrs)))
    hosts.append(Host(ROUTER, Role.ROUTER, 1, lan(1)))
    outside = tuple(
        _numbered(net, number) for net in pick(OUTSIDE4, OUTSIDE6) for number in (10, 20)
    )
    hosts.append(Host(OUTSIDE, Role.OUTSIDE, 10, outside))
    return Topology(tuple(hosts), pick(PODS4, PODS6), pick(SERVICES4, SERVICES6))


def router_outside(families: Families) -> tuple[Interface, ...]:
    """The router's addresses on the side of the outside host."""
    nets: dict[Families, tuple[Network, ...]] = {
        Families.IPV4: (OUTSIDE4,),
        Families.IPV6: (OUTSIDE6,),
        Families.DUAL: (OUTSIDE4, OUTSIDE6),
    }
    return tuple(_numbered(net, 1) for net in nets[families])


def first_service(network: Network) -> Address:
    """The address of the Service `kubernetes`."""
    return network.network_address + 1


def _numbered(network: Network, number: int) -> Interface:
    """Host `number` of a network, with the same digits in both families (.11 and ::11)."""
    offset = number if network.version == 4 else int(str(number), 16)
    return ip_interface(f"{network.network_address + offset}/{network.prefixlen}")
