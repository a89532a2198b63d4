"""What is known of the members' Leases: who is in, who was deposed, and since when we know.

A Lease says whether its node is in. Deposing is a compare-and-swap on the very version that was
read, so that a renewal in between makes it fail. What a renewal is good for (`term`) stands in the
Lease: a reader waits that long from when it first saw the version.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from outgate.vip.engine.events import Record
from outgate.vip.engine.peers import NEVER


@dataclass(frozen=True, slots=True)
class Out:
    """A member that was deposed, or has no Lease: true at `known` at least.

    epoch: of its Lease; it rises whenever a member is deposed or comes back, so that of two pieces
    of news about one member the later is known. learned: the place of this news among all
    such news (`Roster.order`).
    """

    known: float
    epoch: int
    learned: int


class Roster:
    """One gateway's Leases, as far as known. Times are ours, in seconds.

    asked: when the request was sent whose answer this is. records: by node. order: how often
    somebody was found to be out.
    """

    def __init__(self) -> None:
        self.asked = NEVER
        self.records: dict[str, Record] = {}
        self.outs: dict[str, Out] = {}
        self.epoch = 0
        self.order = 0
        self._seen: dict[str, float] = {}
        self._swapped: dict[str, float] = {}

    def read(self, records: Iterable[Record], *, asked: float, now: float) -> bool:
        """Takes a list that was asked for at `asked`, and came now; whether it has news."""
        if asked < self.asked:
            return False
        news = False
        self.asked = asked
        found = {record.node: record for record in records}
        for node in sorted(self.records.keys() | found.keys()):
            # A swap that ended after this was asked for may be missing in it.
            if self._swapped.get(node, NEVER) <= asked:
                news |= self._take(node, found.get(node), now)
        for record in self.records.values():
            if not record.inside:
                self._outside(record.node, record.epoch, asked)
            elif (out := self.outs.get(record.node)) is not None and record.epoch > out.epoch:
                del self.outs[record.node]
        return news

    def swapped(self, record: Record, *, asked: float, now: float) -> None:
        """Takes the Lease as a swap of ours has made it."""
        self._swapped[record.node] = now
        self._take(record.node, record, now)
        if record.inside:
            self.outs.pop(record.node, None)
        else:
            self._outside(record.node, record.epoch, asked)

    def hearsay(self, node: str, epoch: int, *, known: float) -> None:
        """Takes that another member knows this one to be out, at `known` at least."""
        record = self.records.get(node)
        if record is None or epoch > record.epoch or not record.inside:
            self._outside(node, epoch, known)

    def out(self, node: str) -> Out | None:
        """Since when the member is known to be out; None if it is in, or might be."""
        out = self.outs.get(node)
        if out is not None:
            return out
        if node not in self.records and self.asked > NEVER:
            return Out(self.asked, 0, 0)
        return None

    def seen(self, node: str) -> float:
        """When the version of the Lease that is known was first seen."""
        return self._seen.get(node, NEVER)

    def _take(self, node: str, record: Record | None, now: float) -> bool:
        known = self.records.get(node)
        if record is None:
            self.records.pop(node, None)
            self._seen.pop(node, None)
            return known is not None
        if known is None or known.version != record.version:
            self.records[node] = record
            self._seen[node] = now
            self.epoch = max(self.epoch, record.epoch)
            return known is None or known.inside is not record.inside
        return False

    def _outside(self, node: str, epoch: int, known: float) -> None:
        before = self.outs.get(node)
        if before is None or epoch > before.epoch:
            self.order += 1
            self.outs[node] = Out(known, epoch, self.order)
        elif known > before.known and epoch == before.epoch:
            self.outs[node] = Out(known, epoch, before.learned)
