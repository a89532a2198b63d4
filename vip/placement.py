"""Which link an address belongs on, and what has to change for it: pure.

The vip process decides this, not the agent: it sees the links, and they change without the API.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from outgate.api.view import IPAddress
from outgate.vip.model import Holding, Link, Observed


@dataclass(frozen=True, slots=True)
class Changes:
    """What to do, in this order: remove, then add. `refused` are addresses and why not."""

    remove: tuple[Holding, ...]
    add: tuple[Holding, ...]
    hold: tuple[Holding, ...]
    refused: tuple[tuple[IPAddress, str], ...]


def place(address: IPAddress, links: Iterable[Link], *, default: str) -> str:
    """The link whose connected network contains the address, else the default one.

    The longest prefix wins, as in a routing table; equals go by name, so that it is the same on
    every call. A link that is down never wins: nobody would hear an announcement.
    """
    found = [
        (-network.prefixlen, link.name)
        for link in links
        if link.up
        for network in link.connected
        if address in network
    ]
    return min(found)[1] if found else default


def uplinks_down(
    addresses: Iterable[IPAddress], links: Collection[Link], *, default: str
) -> tuple[str, ...]:
    """The links that these addresses belong on, and that are down or without carrier, by name.

    An address belongs on a link whose connected network contains it, on the default one if there is
    none; of several, one that is up is enough.
    """
    down: set[str] = set()
    for address in addresses:
        its = [link for link in links if any(address in network for network in link.connected)]
        its = its or [link for link in links if link.name == default]
        if not any(link.up for link in its):
            down.update(link.name for link in its)
    return tuple(sorted(down))


def changes(observed: Observed, wanted: Iterable[IPAddress], *, default: str) -> Changes:
    """From what the kernel has to what is wanted.

    An address that a foreign owner has put on this node is refused, not adopted: it would be
    announced, and one day removed, behind that owner's back.
    """
    names = {link.name for link in observed.links}
    foreign = {holding.address: holding.interface for holding in observed.foreign}
    hold: set[Holding] = set()
    refused: list[tuple[IPAddress, str]] = []
    for address in set(wanted):
        interface = place(address, observed.links, default=default)
        if address in foreign:
            refused.append((address, f"already on {foreign[address]}, and not put there by us"))
        elif interface not in names:
            refused.append((address, f"there is no Ethernet link {interface!r} to put it on"))
        else:
            hold.add(Holding(address, interface))
    return Changes(
        remove=_sorted(observed.owned - hold),
        add=_sorted(hold - observed.owned),
        hold=_sorted(hold),
        refused=tuple(sorted(refused, key=lambda item: (item[0].version, int(item[0])))),
    )


def _sorted(holdings: Iterable[Holding]) -> tuple[Holding, ...]:
    return tuple(sorted(holdings, key=lambda holding: holding.sort_key))
