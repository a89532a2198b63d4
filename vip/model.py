"""The values of the LAN side: addresses, the links that carry them, and whose they are.

Says nothing about how addresses get into the kernel (`outgate.vip.kernel`), nor when they are
announced (`outgate.vip.announcer`).
"""

from dataclasses import dataclass

from outgate.api.view import IPAddress, IPNetwork

ADDRESS_PROTOCOL = 178
"""IFA_PROTO of our addresses: ours to remove because of it, and nothing else is."""


@dataclass(frozen=True, slots=True)
class Holding:
    """An address on a link of this node."""

    address: IPAddress
    interface: str

    @property
    def sort_key(self) -> tuple[int, int, str]:
        """IPv4 first, then by number, then by link: the order of everything that is rendered."""
        return self.address.version, int(self.address), self.interface


@dataclass(frozen=True, slots=True)
class Link:
    """A link that can carry addresses.

    mac: lower case with colons. connected: the networks of its own (not our) addresses, on which
    hosts ask by ARP or ND.
    """

    name: str
    mac: str
    up: bool
    connected: frozenset[IPNetwork] = frozenset()


@dataclass(frozen=True, slots=True)
class Observed:
    """What the kernel has: our addresses, everybody else's, the Ethernet links, and the next hops
    of default routes, each on its link."""

    owned: frozenset[Holding]
    foreign: frozenset[Holding]
    links: frozenset[Link]
    routers: frozenset[Holding] = frozenset()
