"""The API server: Leases with versions, compare-and-swap, and all the ways not to answer."""

from collections.abc import Callable
from dataclasses import replace

from outgate.vip.engine.actions import ReadLeases, WriteLease
from outgate.vip.engine.events import (
    ApiFailed,
    Event,
    LeaseRefused,
    LeasesRead,
    LeaseWritten,
    Record,
)
from sim.world import World

TIMEOUT = 0.45
"""After which a client gives up. Seconds."""


class ApiServer:
    """Holds the Leases. down: nobody gets through; away: these nodes don't. latency: one way.

    silent: whether those who don't get through wait for a time-out, or are refused at once.
    deaf: share of answers that get lost on the way back, after the write was done.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.records: dict[tuple[str, str], Record] = {}
        self.down = False
        self.away: set[str] = set()
        self.silent = False
        self.deaf = 0.0
        self.latency = (0.001, 0.01)
        self._version = 0
        self.swapped: Callable[[Record, Record | None], None] = lambda new, old: None
        self.requests = 0

    def ask(
        self, node: str, action: ReadLeases | WriteLease, answer: Callable[[Event], None]
    ) -> None:
        """Sends a request on its way."""
        self.requests += 1
        world = self._world
        if self.down or node in self.away:
            wait = TIMEOUT if self.silent else 0.002
            world.at(world.now + wait, answer, ApiFailed(action.request))
            return
        world.at(world.now + self._one_way(), self._serve, node, action, answer)

    def _one_way(self) -> float:
        low, high = self.latency
        return low + (high - low) * self._world.random.random()

    def _serve(
        self, node: str, action: ReadLeases | WriteLease, answer: Callable[[Event], None]
    ) -> None:
        world = self._world
        result: Event
        if self.down or node in self.away:
            result = ApiFailed(action.request)
        elif isinstance(action, ReadLeases):
            records = tuple(self.records[key] for key in sorted(self.records))
            result = LeasesRead(action.request, records)
        else:
            result = self._swap(action)
        if self.deaf and world.random.random() < self.deaf:
            world.at(world.now + TIMEOUT, answer, ApiFailed(action.request))
        else:
            world.at(world.now + self._one_way(), answer, result)

    def _swap(self, action: WriteLease) -> Event:
        record = action.record
        key = (record.gateway, record.node)
        stands = self.records.get(key)
        if record.version != ("" if stands is None else stands.version):
            return LeaseRefused(action.request)
        self._version += 1
        written = replace(record, version=str(self._version))
        self.records[key] = written
        self.swapped(written, stands)
        return LeaseWritten(action.request, written)
