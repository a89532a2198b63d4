"""Makes the kernel's entries of flows that come here, and takes away those of flows that have gone.

A few at a time, in the order in which they were asked for; those that only the last holder knew
(changed ports) beside the others, so that neither waits for the other.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby

import msgspec
import structlog

from outgate.api.view import IPAddress
from outgate.vip.engine.evidence import FOREVER
from outgate.vip.engine.peers import NEVER
from outgate.vip.errors import VipError
from outgate.vip.flows.entries import (
    Entry,
    Seen,
    Timeouts,
    bound_elsewhere,
    bound_here,
    derive,
    record_of,
)
from outgate.vip.flows.records import FlowRecord
from outgate.vip.flows.remapped import Others
from outgate.vip.flows.table import Inserter, Made
from outgate.vip.shell.told import AGAIN

log = structlog.get_logger()

BUDGET = 0.004
"""Seconds of a turn in which entries are made; heartbeats are due every 100 ms."""

ROOM = 256
"""Messages with flows that may wait for their entries."""

LINGER = AGAIN + 5.0
"""Seconds, at least, that flows stay when their address goes. A node that takes it again before has
them still: it is told only of what is new, for `AGAIN` since it was told of the rest."""

UNCLAIMED = 60.0
"""Seconds after which flows are forgotten that were told for a move which did not happen."""

GUESSED = 60
"""Seconds, at most, for an entry that nobody but the last holder has told of: it may have ended."""

SAY = 1.0
"""Seconds of quiet until it is said what was made."""

Ids = frozenset[int]
Job = Iterator[object]


class Making:
    """For one thread. flows: this node's own, by egress ids (`table.FlowTable.local`)."""

    def __init__(
        self, others: Others, *, flows: Callable[[Collection[int]], Iterator[list[Seen]]]
    ) -> None:
        self._others, self._flows = others, flows
        self._inserter: Inserter | None = None
        self._timeouts = Timeouts()
        self._addresses: Mapping[int, IPAddress] = {}
        self._index = 0
        self._last: dict[int, str] = {}
        self._jobs: deque[Job] = deque()
        self._beside: deque[Job] = deque()
        self._forget: dict[int, float] = {}
        self._leaving: list[set[int]] = []
        """What each of the jobs that forget is to forget."""
        self._said, self._say = Made(), FOREVER

    def begin(self, inserter: Inserter, timeouts: Timeouts) -> None:
        """Until here, nothing is made."""
        self._inserter, self._timeouts = inserter, timeouts

    def know(self, addresses: Mapping[int, IPAddress], *, index: int) -> None:
        """By egress id, what it stands for; this node's own index."""
        self._addresses, self._index = addresses, index
        self._last = {id_: node for id_, node in self._last.items() if id_ in addresses}

    @property
    def room(self) -> bool:
        """Whether more flows can be taken now."""
        return len(self._jobs) < ROOM

    def expect(self, ids: Ids, *, holder: str, until: float) -> None:
        """Flows of these come before the address does, from that holder."""
        self._came_from(holder, ids)
        # What is left from when they were here last would be taken for the new ones otherwise.
        self._forget_now(ids)
        self._forget |= dict.fromkeys(ids, until + UNCLAIMED)

    def take(self, records: tuple[FlowRecord, ...]) -> None:
        """Flows that their source node has told of."""
        self._jobs.append(self._taking(records))

    def then(self, action: Callable[[], None]) -> None:
        """Does this when all that was asked for so far is made."""
        self._jobs.append(_once(action))

    def claimed(self, ids: Ids, *, holder: str, guessed: Ids) -> None:
        """These are here now. guessed: those of which not everything has been told.

        Of them, the flows whose port the last holder had changed are made at once: the next packet
        of one would be picked up with another port, and be answered by a reset.
        """
        self._came_from(holder, ids)
        if guessed:
            self._beside.append(self._guessing(guessed))
        self._jobs.appendleft(self._binding(ids))
        for id_ in ids:
            self._forget.pop(id_, None)
        for leaving in self._leaving:
            leaving.difference_update(ids)

    def released(
        self, ids: Ids, *, tell: Callable[[list[Seen]], None], pass_on: float, now: float
    ) -> None:
        """These are elsewhere: own pods' flows take the tunnel. pass_on: late packets may pass.

        tell: is given the flows as they were, before they are bound otherwise.
        """
        self._jobs.appendleft(self._unbinding(ids, tell))
        self._forget |= dict.fromkeys(ids, now + max(pass_on, LINGER))

    def turn(self, *, now: float) -> None:
        """Does what is due, for a few milliseconds."""
        due = frozenset(id_ for id_, when in self._forget.items() if now >= when)
        self._forget_now(due)
        if self._jobs or self._beside:
            self._say = now + SAY
        until = time.monotonic() + BUDGET
        while (self._jobs or self._beside) and time.monotonic() < until:
            for jobs in (self._beside, self._jobs):
                if jobs:
                    _step(jobs)
        if now >= self._say and self._inserter is not None:
            self._say = FOREVER
            self._report(self._inserter.made)

    def next_due(self) -> float:
        """When there is something to do."""
        if self._jobs or self._beside:
            return NEVER
        return min((*self._forget.values(), self._say))

    def close(self) -> None:
        """Closes the inserter."""
        if self._inserter is not None:
            self._inserter.close()

    def _came_from(self, holder: str, ids: Ids) -> None:
        if holder:
            self._last |= dict.fromkeys(ids, holder)

    def _forget_now(self, ids: Ids) -> None:
        due = {id_ for id_ in ids if self._forget.pop(id_, None) is not None}
        if due and self._inserter is not None:
            self._leaving.append(due)
            self._jobs.append(self._forgetting(due, self._inserter))

    def _forgetting(self, ids: set[int], inserter: Inserter) -> Job:
        try:
            yield from inserter.forget(ids)
        finally:
            self._leaving = [one for one in self._leaving if one is not ids]

    def _taking(self, records: Iterable[FlowRecord]) -> Job:
        if self._inserter is not None:
            yield from self._inserter.insert(self._entries(records))

    def _entries(self, records: Iterable[FlowRecord]) -> Iterator[Entry]:
        for id_, some in groupby(records, key=lambda record: record.egress_id):
            address = self._addresses.get(id_)
            for record in self._others.amended(some, holder=self._last.get(id_, "")):
                if address is not None and len(address.packed) == len(record.pod):
                    yield derive(record, address, self._timeouts)

    def _guessing(self, ids: Ids) -> Job:
        if self._inserter is None:
            return
        for id_ in sorted(ids):
            known = self._others.under({id_}, holder=self._last.get(id_, ""))
            # Own pods' flows come by no tunnel any more: they have their entry, see `_binding`.
            records = (record for record in known if record.index != self._index)
            entries = (
                msgspec.structs.replace(entry, timeout=min(entry.timeout, GUESSED))
                for entry in self._entries(records)
            )
            # What is there by now, its source node has told.
            yield from self._inserter.insert(entries, replace=False)

    def _binding(self, ids: Ids) -> Job:
        for some in self._own(ids):
            yield from self._rebound([pair for seen in some if (pair := self._bound(seen))])

    def _bound(self, seen: Seen) -> tuple[Seen, Entry] | None:
        address = self._addresses.get(seen.mark >> 16)
        if address is None or len(seen.bound) != len(address.packed):
            return None
        if seen.bound == address.packed:
            return None
        return seen, bound_here(seen, address, self._timeouts, port=self._port(seen))

    def _unbinding(self, ids: Ids, tell: Callable[[list[Seen]], None]) -> Job:
        for some in self._own(ids):
            tell(some)
            yield from self._rebound(
                [(s, bound_elsewhere(s, self._timeouts)) for s in some if s.bound != s.source]
            )

    def _own(self, ids: Ids) -> Iterator[list[Seen]]:
        return self._flows(ids) if self._inserter is not None else iter(())

    def _port(self, seen: Seen) -> int | None:
        """What the last holder had made of an own pod's port."""
        record = record_of(seen, index=0)
        if record is None:
            return None
        holder = self._last.get(record.egress_id, "")
        return next(self._others.amended((record,), holder=holder)).port

    def _rebound(self, entries: list[tuple[Seen, Entry]]) -> Job:
        """What is not established, or ends, is not made to last: its next packet begins anew."""
        if self._inserter is not None:
            yield from self._inserter.rebind([entry for seen, entry in entries if seen.live])
            yield from self._inserter.drop([entry for seen, entry in entries if not seen.live])

    def _report(self, made: Made) -> None:
        if made == self._said:
            return
        now = replace(made)
        before, self._said = self._said, now
        log.info(
            "flows taken over",
            created=now.created - before.created,
            replaced=now.replaced - before.replaced,
            taken=now.taken - before.taken,
            full=now.full - before.full,
            refused=now.refused - before.refused,
            reason=now.reason,
        )


def _step(jobs: deque[Job]) -> None:
    try:
        next(jobs[0])
    except StopIteration:
        jobs.popleft()
    except VipError as error:
        log.warning("flows not taken over", error=str(error))
        jobs.popleft()


def _once(action: Callable[[], None]) -> Job:
    action()
    yield None
