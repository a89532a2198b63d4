"""A gate in memory, for tests of those who speak to it: leases run out by the test's clock."""

from collections.abc import Callable, Iterable

from outgate.api.view import IPAddress
from outgate.vip.engine.events import Adopted
from outgate.vip.gate.errors import GateRefused, Lapsed


class FakeGate:
    """As the kernel: what has lapsed is not revived, an owned address lives by its gateway's lease.

    clock: the test's. adopted: what `start` finds. tampered: what the next `check` says. refused:
    every word is, with this message.
    """

    def __init__(
        self, clock: Callable[[], float], *, adopted: Iterable[Adopted] = (), refused: str = ""
    ) -> None:
        self._clock = clock
        self._adopted = tuple(adopted)
        self.refused = refused
        self.tampered = False
        self.managed: dict[str, frozenset[IPAddress]] = {}
        self.owned: dict[IPAddress, str] = {}
        self.epochs: dict[IPAddress, int] = {}
        self.until: dict[str, float] = {}
        self.passing: dict[IPAddress, float] = {}

    def answers(self, address: IPAddress) -> bool:
        """Whether ARP and ND are answered for it, and its packets leave and arrive."""
        gateway = self.owned.get(address)
        return gateway is not None and self._alive(gateway)

    def passes(self, address: IPAddress) -> bool:
        """Whether its packets leave and arrive, be it only after a planned move."""
        managed = any(address in some for some in self.managed.values())
        late = self.passing.get(address, float("-inf")) > self._clock()
        return not managed or late or self.answers(address)

    def start(self) -> tuple[Adopted, ...]:
        """What the test has put there, as far as it lives."""
        self._may()
        alive = tuple(one for one in self._adopted if one.until > self._clock())
        for one in alive:
            self.owned[one.address], self.epochs[one.address] = one.gateway, one.epoch
            self.until[one.gateway] = min(one.until, self.until.get(one.gateway, one.until))
        return alive

    def manage(self, gateway: str, addresses: Iterable[IPAddress]) -> None:
        """Replaces the gateway's addresses."""
        self._may()
        before, now = self.managed.get(gateway, frozenset()), frozenset(addresses)
        self.managed[gateway] = now
        self.release(before - now)

    def settled(self) -> None:
        """A former process managed nothing here."""
        self._may()

    def forget(self, gateway: str) -> None:
        """Without the gateway."""
        self._may()
        self.release([a for a, owner in self.owned.items() if owner == gateway])
        self.managed.pop(gateway, None)

    def claim(
        self, gateway: str, addresses: Iterable[IPAddress], *, epoch: int, until: float
    ) -> None:
        """Owned until then."""
        self._may()
        if gateway not in self.managed:
            raise GateRefused(f"claim for {gateway}: it is not managed")
        if until <= self._clock():
            raise Lapsed(f"claim for {gateway}: too late")
        if self._alive(gateway):
            until = min(until, self.until[gateway])
        else:
            self._lose(gateway)
        self.until[gateway] = until
        for address in addresses:
            self.owned[address], self.epochs[address] = gateway, epoch
            self.passing.pop(address, None)

    def refresh(self, gateway: str, *, until: float) -> None:
        """Until then, if it lives."""
        self._may()
        if until <= self._clock() or not self._alive(gateway):
            if not self._alive(gateway):
                self._lose(gateway)
            raise Lapsed(f"refresh of {gateway}: too late")
        self.until[gateway] = until

    def release(self, addresses: Iterable[IPAddress], *, pass_on: float = 0.0) -> None:
        """Owned no longer."""
        self._may()
        for address in addresses:
            gateway = self.owned.pop(address, None)
            self.epochs.pop(address, None)
            if gateway is not None and pass_on > 0:
                self.passing[address] = self._clock() + pass_on
            if gateway is not None and gateway not in self.owned.values():
                self.until.pop(gateway, None)

    def check(self) -> bool:
        """What the test has said."""
        self._may()
        said, self.tampered = self.tampered, False
        return said

    def remove(self) -> None:
        """Nothing is gated."""
        self._may()
        for one in (self.managed, self.owned, self.epochs, self.until, self.passing):
            one.clear()

    def close(self) -> None:
        """Nothing to close."""

    def _alive(self, gateway: str) -> bool:
        return self.until.get(gateway, float("-inf")) > self._clock()

    def _lose(self, gateway: str) -> None:
        for address in [a for a, owner in self.owned.items() if owner == gateway]:
            del self.owned[address]
            self.epochs.pop(address, None)
        self.until.pop(gateway, None)

    def _may(self) -> None:
        if self.refused:
            raise GateRefused(self.refused)
