"""What the vip process counts, for the agent to export. A record, without I/O.

Claims are of three kinds. `planned`: the holder let go because it was asked to; it took from the
asking. `crash`: the holder fell silent; it took from when it was last heard. `free`: nobody held
the addresses, or their holder had let go by itself; nothing was waited for.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from outgate.vip.engine import events as ev
from outgate.vip.protocol import BOUNDS, Durations, GatewayNumbers, Numbers, Trouble
from outgate.vip.shell import troubles

PLANNED, CRASH, FREE = "planned", "crash", "free"
HELD, WANTED = "held", "wanted"
WORKS, FAILED, UNKNOWN = "works", "failed", "unknown"


@dataclass(frozen=True, slots=True)
class Standing:
    """How it is with a gateway now: addresses held, the highest epoch, whether in failsafe."""

    held: int
    epoch: int
    failsafe: bool


@dataclass(slots=True)
class _Gateway:
    claimed: Counter[str] = field(default_factory=Counter)
    released: Counter[str] = field(default_factory=Counter)
    conflicts: Counter[str] = field(default_factory=Counter)
    returns: Counter[str] = field(default_factory=Counter)
    buckets: dict[str, list[int]] = field(default_factory=dict)
    totals: dict[str, float] = field(default_factory=dict)


class Tally:
    """All counts of one process, from 0."""

    def __init__(self) -> None:
        self.sent = self.heard = 0
        self._leases: Counter[str] = Counter(read=0, written=0, refused=0, failed=0)
        self._gateways: dict[str, _Gateway] = {}

    def claimed(self, gateway: str, *, kind: str, addresses: int, took: float | None) -> None:
        """Addresses were claimed at once; took: seconds, None where nothing was waited for."""
        of = self._of(gateway)
        of.claimed[kind] += addresses
        if took is not None:
            buckets = of.buckets.setdefault(kind, [0] * (len(BOUNDS) + 1))
            buckets[bisect_left(BOUNDS, took)] += 1
            of.totals[kind] = of.totals.get(kind, 0.0) + took

    def released(self, gateway: str, *, why: str, addresses: int) -> None:
        """Addresses were let go."""
        self._of(gateway).released[why.replace(" ", "_")] += addresses

    def conflict(self, gateway: str, *, when: str) -> None:
        """Somebody else spoke for an address, while it was `HELD` or `WANTED`."""
        self._of(gateway).conflicts[when] += 1

    def returned(self, gateway: str, *, result: str) -> None:
        """A way back was checked."""
        self._of(gateway).returns[result] += 1

    def lease(
        self, event: ev.LeasesRead | ev.LeaseWritten | ev.LeaseRefused | ev.ApiFailed
    ) -> None:
        """The API server answered, or did not."""
        match event:
            case ev.LeasesRead():
                self._leases["read"] += 1
            case ev.LeaseWritten():
                self._leases["written"] += 1
            case ev.LeaseRefused():
                self._leases["refused"] += 1
            case ev.ApiFailed():
                self._leases["failed"] += 1

    def forget(self, gateway: str) -> None:
        """This node is no member of it any more."""
        self._gateways.pop(gateway, None)

    def numbers(
        self,
        standings: Mapping[str, Standing],
        lasting: Iterable[Trouble],
        *,
        api: bool,
        realtime: bool,
        refused: Mapping[str, int],
        unsent: int,
    ) -> Numbers:
        """As the agent is told. standings: of each gateway of this node."""
        found = {(one.gateway, one.what): one.count for one in lasting}
        return Numbers(
            gateways=tuple(
                self._numbers(gateway, standings[gateway], found) for gateway in sorted(standings)
            ),
            api=api,
            realtime=realtime,
            sent=self.sent,
            heard=self.heard,
            refused=dict(refused),
            unsent=unsent,
            leases=dict(self._leases),
        )

    def _numbers(
        self, gateway: str, standing: Standing, found: Mapping[tuple[str, str], int]
    ) -> GatewayNumbers:
        of = self._of(gateway)
        return GatewayNumbers(
            gateway,
            standing.held,
            standing.epoch,
            standing.failsafe,
            contested=found.get((gateway, troubles.CONFLICT), 0)
            + found.get((gateway, troubles.OCCUPIED), 0),
            lost=found.get((gateway, troubles.FAILED), 0),
            unknown=found.get((gateway, troubles.UNKNOWN), 0),
            # Those that there may be are told as 0: a rate needs a beginning.
            claimed={PLANNED: 0, CRASH: 0, FREE: 0} | of.claimed,
            released=dict(of.released),
            conflicts={HELD: 0, WANTED: 0} | of.conflicts,
            returns={WORKS: 0, FAILED: 0, UNKNOWN: 0} | of.returns,
            took={
                kind: Durations(tuple(buckets), round(of.totals[kind], 6))
                for kind, buckets in sorted(of.buckets.items())
            },
        )

    def _of(self, gateway: str) -> _Gateway:
        return self._gateways.setdefault(gateway, _Gateway())
