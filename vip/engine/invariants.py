"""What is true of one engine after each event; tests and the simulator look after every step.

What must be true between nodes can't be seen in one of them: `tests/sim/checker.py`.
"""

from collections.abc import Iterator

from outgate.api.view import IPAddress
from outgate.vip.engine.engine import Engine
from outgate.vip.engine.group import Group

ROUNDING = 1e-6


class Broken(AssertionError):
    """An invariant does not hold; the message says which."""


class Invariants:
    """Watches one engine; `look` after each event."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._highest: dict[str, int] = {}
        self._epochs: dict[tuple[str, IPAddress], int] = {}

    def look(self, *, now: float) -> None:
        """Raises Broken if something is not as it must be."""
        for gateway, group in self._engine.groups.items():
            for what in self._wrong(gateway, group, now):
                raise Broken(f"{self._engine.node}, {gateway}, at {now:.4f}: {what}")

    def _wrong(self, gateway: str, group: Group, now: float) -> Iterator[str]:
        taking, holds, settings = self._engine.takings[gateway], group.holds, group.settings
        held = holds.epochs.keys()
        if held and holds.until <= now:
            yield "holds what its kernel has let go"
        if held and holds.until > now + max(settings.lease, holds.announced) + ROUNDING:
            yield "holds for longer than it has announced"
        if held & taking.wants.keys():
            yield "wants what it holds"
        if not taking.asks <= taking.wants.keys():
            yield "asks for what it does not want"
        if held - group.membership.addresses:
            yield "holds what is no address of the gateway"
        if any(epoch > group.highest for epoch in holds.epochs.values()):
            yield "holds by an epoch that it does not know"
        if group.highest < self._highest.get(gateway, 0):
            yield "has forgotten an epoch"
        self._highest[gateway] = group.highest
        for address, epoch in holds.epochs.items():
            before = self._epochs.get((gateway, address), 0)
            if epoch < before:
                yield f"{address}: the epoch fell from {before} to {epoch}"
            self._epochs[gateway, address] = epoch
        say = self._engine.said(gateway)
        if say is not None and say.claims != holds.claims():
            yield "says that it holds something else than it does"
