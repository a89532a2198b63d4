"""Who holds what, as far as this node knows: its own claims, and the others' as they were told."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from outgate.api.view import IPAddress
from outgate.vip.engine.words import Claim
from outgate.vip.peer.words import Moved
from outgate.vip.protocol import Claimed

ByGateway = Mapping[str, tuple[Claim, ...]]


class Claimant(NamedTuple):
    """Who has claimed an address. Of two, the greater one has it: the later epoch, and of one
    epoch the greater name (`outgate.vip.engine`, "The failsafe")."""

    epoch: int
    node: str
    gateway: str


class Claims:
    """All claims that are known. Not pure: it is a record that changes."""

    def __init__(self) -> None:
        self.own: dict[IPAddress, Claimant] = {}
        self.heard: dict[IPAddress, Claimant] = {}
        self.version = 0
        """Rises with each change."""

    def take(self, node: str, gateway: str, addresses: Iterable[IPAddress], *, epoch: int) -> None:
        """This node claims them."""
        self.version += 1
        for address in addresses:
            self.own[address] = Claimant(epoch, node, gateway)
            self.heard.pop(address, None)

    def lose(self, addresses: Iterable[IPAddress]) -> None:
        """This node holds them no longer."""
        self.version += 1
        for address in addresses:
            self.own.pop(address, None)

    def hear(self, moved: Moved) -> frozenset[IPAddress]:
        """Another node has said what it holds; the addresses of which that is news."""
        news: set[IPAddress] = set()
        for gateway, claims in moved.claims.items():
            for claim in claims:
                claimant = Claimant(claim.epoch, moved.node, gateway)
                for address in claim.addresses:
                    known = self.heard.get(address)
                    if known is None or claimant > known:
                        self.heard[address] = claimant
                        news.add(address)
        self.version += bool(news)
        return frozenset(news)

    def forget(self, gone: Iterable[IPAddress]) -> None:
        """These addresses are not in use any more."""
        for address in gone:
            if self.heard.pop(address, None) is not None:
                self.version += 1

    def whole(self) -> ByGateway:
        """What this node holds, as it tells others."""
        return by_gateway(self.own)

    def said(self) -> tuple[tuple[Claimed, ...], tuple[Claimed, ...]]:
        """Own and heard claims, as the agent is told."""
        return tuple(_claimed(self.own)), tuple(_claimed(self.heard))


def by_gateway(held: Mapping[IPAddress, Claimant]) -> ByGateway:
    """Claims of one node, by gateway and epoch."""
    found: dict[str, dict[int, set[IPAddress]]] = {}
    for address, claimant in held.items():
        found.setdefault(claimant.gateway, {}).setdefault(claimant.epoch, set()).add(address)
    return {
        gateway: tuple(Claim(epoch, frozenset(some)) for epoch, some in sorted(epochs.items()))
        for gateway, epochs in sorted(found.items())
    }


def _claimed(held: Mapping[IPAddress, Claimant]) -> Iterable[Claimed]:
    found: dict[Claimant, list[IPAddress]] = {}
    for address, claimant in held.items():
        found.setdefault(claimant, []).append(address)
    for claimant in sorted(found):
        ordered = sorted(found[claimant], key=lambda one: (one.version, int(one)))
        yield Claimed(
            claimant.node, claimant.gateway, claimant.epoch, tuple(str(one) for one in ordered)
        )
