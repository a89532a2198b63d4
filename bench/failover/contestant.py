"""What the benchmark needs of each system that keeps an address alive."""

from contextlib import AbstractContextManager
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from bench.failover.observer import How, Probe
from outgate.lab import Lab
from outgate.lab.passing import Kind
from outgate.lab.topology import ROUTER

Address = IPv4Address | IPv6Address


class Contestant(Protocol):
    """A system with an address, or one of each family, that a gateway node answers for."""

    name: str
    addresses: tuple[Address, ...]

    def start(self) -> None:
        """Make it run; some node answers for the address when it returns."""

    def stop(self) -> None:
        """Take it away."""

    def data_path(self, address: Address) -> Probe:
        """How the outside sees whether an address of its serves."""

    def leader(self, holder: str) -> str:
        """The node that holds the address before the next fault, wherever `holder` is now:
        "" for whichever another contestant prefers.
        """

    def place(self, node: str) -> None:
        """See to it that this node holds the address; what was struck before runs again."""

    def struck(self, kind: Kind, node: str) -> AbstractContextManager[None]:
        """Its process on that node is killed or stopped, while the block runs."""


def series(one: Contestant, address: Address) -> str:
    """The name of what is seen of an address: the contestant's, with a suffix for IPv6."""
    return one.name if address.version == 4 else f"{one.name}-ipv6"


def arp(lab: Lab, address: Address) -> Probe:
    """The question that is the same for all: who has the address? Asked by the router."""
    own = (one.ip for one in lab.topology.host(ROUTER).addresses)
    source = next(ip for ip in own if ip.version == address.version)
    return Probe(How.ARP, str(lab.paths.netns(ROUTER)), str(address), source=str(source))
