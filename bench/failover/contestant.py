"""What the benchmark needs of each system that keeps an address alive."""

from contextlib import AbstractContextManager
from ipaddress import IPv4Address
from typing import Protocol

from bench.failover.observer import How, Probe
from outgate.lab import Lab
from outgate.lab.passing import Kind
from outgate.lab.topology import ROUTER


class Contestant(Protocol):
    """A system with one address, which one of the gateway nodes answers for."""

    name: str
    address: IPv4Address

    def start(self) -> None:
        """Make it run; some node answers for the address when it returns."""

    def stop(self) -> None:
        """Take it away."""

    def data_path(self) -> Probe:
        """How the outside sees whether the address serves."""

    def leader(self, holder: str) -> str:
        """The node that holds the address before the next fault, wherever `holder` is now:
        "" for whichever another contestant prefers.
        """

    def place(self, node: str) -> None:
        """See to it that this node holds the address; what was struck before runs again."""

    def struck(self, kind: Kind, node: str) -> AbstractContextManager[None]:
        """Its process on that node is killed or stopped, while the block runs."""


def arp(lab: Lab, address: IPv4Address) -> Probe:
    """The question that is the same for all: who has the address? Asked by the router."""
    router = lab.topology.host(ROUTER)
    return Probe(
        How.ARP, str(lab.paths.netns(ROUTER)), str(address), source=str(router.addresses[0].ip)
    )
