"""A node and its LAN in memory: refuses what the kernel refuses, records what was heard."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from outgate.api.view import IPAddress
from outgate.vip.errors import AddressRefused, WireRefused
from outgate.vip.model import Holding, Link, Observed


@dataclass
class FakeLan:
    """Both edges of the vip process in one: `AddressKernel` and `Wire`.

    log: what happened, in order, in words. broken: refuse everything, as after a lost capability.
    """

    links: set[Link] = field(default_factory=set)
    owned: set[Holding] = field(default_factory=set)
    foreign: set[Holding] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    broken: bool = False

    def touched(self) -> bool:
        """It does not know who writes to it, so: perhaps."""
        return True

    def observe(self) -> Observed:
        """What there is."""
        return Observed(frozenset(self.owned), frozenset(self.foreign), frozenset(self.links))

    def add_all(self, holdings: Collection[Holding]) -> Mapping[Holding, AddressRefused]:
        """Puts addresses on links; there already is fine."""
        names = {link.name for link in self.links}
        refused = {
            holding: AddressRefused(f"add {holding.address} on {holding.interface}")
            for holding in holdings
            if self.broken or holding.interface not in names
        }
        for holding in holdings:
            if holding not in refused:
                self.owned.add(holding)
                self.log.append(f"add {holding.address} {holding.interface}")
        return refused

    def remove_all(self, holdings: Collection[Holding]) -> Mapping[Holding, AddressRefused]:
        """Takes addresses off links; gone already is fine."""
        if self.broken:
            return {
                holding: AddressRefused(f"remove {holding.address} on {holding.interface}")
                for holding in holdings
            }
        for holding in holdings:
            self.owned.discard(holding)
            self.log.append(f"remove {holding.address} {holding.interface}")
        return {}

    def announce(self, address: IPAddress, *, interface: str, mac: str) -> None:
        """Records an announcement; a link that is down takes none."""
        if self.broken or not any(link.up for link in self.links if link.name == interface):
            raise WireRefused(f"announce {address} on {interface}")
        self.log.append(f"announce {address} {interface} {mac}")
