"""Who holds which egress IP, as the nodes' agents say; and what has moved since. Pure.

Gateway nodes claim addresses among themselves, each claim at a higher epoch. So where two say that
they hold one, the higher epoch is right, and the other does not know yet, or is dead.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from outgate.api.gateway import EgressAddress
from outgate.api.hold import Hold
from outgate.api.tunnel import EgressTunnel
from outgate.controller.addresses import parse, text_of

NOBODY = Hold()

Holds = Mapping[str, Hold]
"""Of one gateway: address, in its canonical form → its hold."""


def claims_of(
    tunnels: Iterable[EgressTunnel], *, reporting: Collection[str]
) -> Mapping[str, Holds]:
    """By gateway: the claim of the highest epoch on each address, of the nodes in `reporting`.

    Of equal epochs the greater name's: so the engines settle it, too.
    """
    found: dict[str, dict[str, Hold]] = {}
    for tunnel in tunnels:
        node = tunnel.metadata.name
        if node not in reporting:
            continue
        for claim in tunnel.status.holding:
            of = found.setdefault(claim.gateway, {})
            hold = Hold(claim.epoch, node)
            for text in claim.addresses:
                address = parse(text)
                key = text if address is None else text_of(address)
                of[key] = max(of.get(key, NOBODY), hold)
    return found


def holds_of(
    addresses: Iterable[str], *, claims: Holds, before: Iterable[EgressAddress]
) -> dict[str, Hold]:
    """Who holds each of these addresses. One that nobody holds any more keeps its last epoch."""
    last = {entry.address: entry.epoch for entry in before}
    return {address: claims.get(address) or Hold(last.get(address, 0), "") for address in addresses}


@dataclass(frozen=True, slots=True)
class Move:
    """Addresses that went from one node to another; from "": nobody had held them for a while.

    epochs: of the claims by which they went, the lowest and the highest; 0 of a node's own address.
    """

    source: str
    target: str
    addresses: tuple[str, ...]
    epochs: tuple[int, int]


def moves(before: Iterable[EgressAddress], after: Iterable[EgressAddress]) -> Iterator[Move]:
    """One for each pair of nodes, whatever the number of addresses; first claims are no moves."""
    old = {entry.address: entry for entry in before}
    gone: dict[tuple[str, str], list[EgressAddress]] = {}
    for entry in after:
        known = old.get(entry.address)
        if known is None or not entry.node or entry.node == known.node:
            continue
        if known.node or known.epoch:
            gone.setdefault((known.node, entry.node), []).append(entry)
    for (source, target), entries in sorted(gone.items()):
        epochs = [entry.epoch for entry in entries]
        yield Move(
            source,
            target,
            tuple(entry.address for entry in entries),
            (min(epochs), max(epochs)),
        )
