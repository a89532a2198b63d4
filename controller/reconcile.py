"""The loop: waits for changes, plans, has it written.

Level-triggered and single-threaded, but for the writes of one stage. Only the leader writes; a
follower listens to heartbeats, so that it knows who is silent on the day that it leads.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

import structlog

from outgate.controller import metrics
from outgate.controller.eligibility import deaf
from outgate.controller.model import (
    Apply,
    Delete,
    Memory,
    Plan,
    Settings,
    Snapshot,
    Tell,
)
from outgate.controller.overlay import Overlay
from outgate.controller.plan import (
    listen,
    next_silence,
    only_heartbeats,
    plan,
    silent_nodes,
    take_over,
)
from outgate.controller.status import Moment
from outgate.controller.watched import KINDS, Watched
from outgate.controller.writer import Writer
from outgate.daemon.backoff import Backoff
from outgate.kube.api import Api
from outgate.kube.errors import ApiError, ApiUnavailable

log = structlog.get_logger("outgate.controller")

ALLOCATED = ("gateways", "tunnels", "policies", "cluster_policies")
"""What records allocations: a new leader reads it anew, whatever its watch shows."""


class Election(Protocol):
    """Says whether this replica leads (`outgate.kube.lease.LeaderElection`)."""

    def leading(self) -> bool:
        """Whether it leads, now."""

    def subscribe(self, callback: Callable[[], object]) -> None:
        """Call this when leading begins or ends."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Timings in seconds.

    debounce: from the first change to the pass. resync: the longest time between two passes.
    burst: how long one pass may go on with writes that can wait, before it looks again at what
    cannot. share: at most this share of the time is spent on planning, however much changes.
    """

    debounce: float = 0.05
    resync: float = 300.0
    burst: float = 1.0
    share: float = 0.5


class Reconciler:
    """Brings the API server's objects to what they should be, again and again; a Task."""

    name = "reconcile"

    def __init__(
        self,
        api: Api,
        watched: Watched,
        election: Election,
        *,
        settings: Settings,
        pace: Pace | None = None,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._watched = watched
        self._election = election
        self._settings = settings
        self._pace = pace or Pace()
        self._backoff = backoff or Backoff(first=0.5, most=60.0)
        self._clock = clock
        self._wall = wall
        self._memory = Memory()
        self._overlay = Overlay()
        self._led = False
        self._deaf = False
        self._writer = Writer(
            api, self._overlay, leading=election.leading, backoff=self._backoff, clock=clock
        )
        self._planned: tuple[Snapshot, Plan] | None = None  # None: plan anew, whatever changed
        self._planning = 0.0
        self._away = 0  # passes in a row that the API server did not answer
        self._not_before = 0.0
        self._dirty = threading.Event()
        self._healthy = False
        watched.subscribe(self._dirty.set)
        election.subscribe(self._dirty.set)

    def ready(self) -> bool:
        """Whether all stores are synced, and the API server answered the last pass."""
        return self._healthy

    def run(self, stop: threading.Event) -> None:
        """Reconcile until stopped. API errors never leave it."""

        def wake() -> None:
            stop.wait()
            self._dirty.set()

        threading.Thread(target=wake, name=f"{self.name} stop", daemon=True).start()
        self._dirty.set()
        while not stop.is_set():
            self._dirty.wait(self._patience())
            stop.wait(max(self._pace.debounce, self._not_before - self._clock()))
            self._dirty.clear()
            if not stop.is_set():
                self.step()
                stop.wait(self._planning * (1 / self._pace.share - 1))

    def step(self) -> bool:
        """One pass, if all is synced; whether nothing is left to be done for now."""
        self._planning = 0.0
        if self._watched.unsynced():
            self._healthy = False
            return False
        now = Moment(self._clock(), self._wall())
        self._heed(now)
        try:
            done = self._pass(now) if self._leads(now) else True
        except ApiError as error:
            self._server_away(error)
            return False
        if self._away:
            log.info("API server answers again", passes=self._away)
        self._away, self._healthy = 0, True
        return done

    def _heed(self, now: Moment) -> None:
        """Tells people when no agent is heard any more, and that it is over."""
        before, self._deaf = self._deaf, deaf(self._memory.beats, now=now.mono)
        if self._deaf and not before:
            log.warning(
                "no agent reports: the watch of EgressTunnels may hang, or all agents are down; "
                "until one does, no node counts as silent"
            )
        elif before and not self._deaf:
            log.info("agents report again")

    def _leads(self, now: Moment) -> bool:
        """Whether we lead; sees to what begins and what ends with that."""
        leading = self._election.leading()
        metrics.LEADER.set(leading)
        if leading and not self._led:
            self._read_allocations(now)
            seen = self._overlay.over(self._watched.snapshot(), now=now.mono)
            beats = take_over(seen, settings=self._settings, memory=self._memory, now=now)
            self._memory = replace(self._memory, beats=beats)
        elif not leading:
            beats = listen(
                self._watched.snapshot(), settings=self._settings, memory=self._memory, now=now
            )
            self._memory = Memory(beats=beats)
            self._overlay.clear()
            self._writer.forget()
            self._planned = None
        self._led = leading
        return leading

    def _read_allocations(self, now: Moment) -> None:
        watched = self._watched.snapshot()
        for field in ALLOCATED:
            shown = getattr(watched, field)
            for value in self._api.list(KINDS[field])[0]:
                key = value.metadata.namespace, value.metadata.name
                self._overlay.saw(field, value, shown=key in shown, now=now.mono)

    def _pass(self, now: Moment) -> bool:
        watched = self._watched.snapshot()
        snapshot = self._overlay.over(watched, now=now.mono)
        if self._nothing_new(snapshot, now):
            return True
        for field, kind in KINDS.items():
            metrics.OBJECTS.labels(kind.plural).set(len(getattr(snapshot, field)))
        metrics.count_addresses(snapshot.gateways.values())
        with metrics.SECONDS.time():
            made = plan(snapshot, settings=self._settings, memory=self._memory, now=now)
            self._planning = self._clock() - now.mono
            self._planned = None
            self._memory = replace(made.memory, told=self._memory.told)
            self._writer.still_wanted(made.writes())
            results = [r for stage in made.urgent for r in self._writer.write(stage, watched)]
            self._memory = made.memory
            end = self._clock() + self._pace.burst
            for stage in made.patient:
                results += self._writer.write(stage, watched, end=end)
        done = Counter(type(result.write) for result in results if result.done)
        if done:
            log.info(
                "reconciled",
                applied=done[Apply],
                deleted=done[Delete],
                told=done[Tell],
                took=round(self._clock() - now.mono, 3),
            )
        if results:
            # What was written makes more possible, and what was left is to be done: no need to
            # wait for the watch. (What failed waits for its time.)
            if any(result.error is None for result in results):
                self._dirty.set()
            return False
        failing = self._writer.next_try is not None
        self._planned = None if failing else (snapshot, made)
        return not failing

    def _nothing_new(self, snapshot: Snapshot, now: Moment) -> bool:
        """Whether nothing but heartbeats has happened, and nobody fell silent or came back."""
        if self._planned is None:
            return False
        before, made = self._planned
        if not only_heartbeats(before, snapshot) or (made.wake or now.mono + 1) <= now.mono:
            return False
        beats = listen(snapshot, settings=self._settings, memory=self._memory, now=now)
        if silent_nodes(beats, settings=self._settings, now=now) != made.silent:
            return False
        self._memory = replace(self._memory, beats=beats)
        return True

    def _patience(self) -> float:
        """Seconds to wait if nothing changes."""
        now = Moment(self._clock(), self._wall())
        times = [now.mono + self._pace.resync]
        if self._away:
            times.append(self._not_before)
        silence = next_silence(self._memory.beats, settings=self._settings, now=now)
        wake = self._planned[1].wake if self._planned is not None else None
        others = (silence, wake, self._overlay.expiry(), self._writer.next_try)
        times += [other for other in others if other is not None]
        return max(0.0, min(times) - now.mono)

    def _server_away(self, error: ApiError) -> None:
        """The server does not answer, or not as it should: all waits, longer each time."""
        if not self._away:
            log.warning("API server does not answer, waiting", why=str(error))
        metrics.ERRORS.labels("", type(error).__name__).inc()
        self._away += 1
        self._healthy = False
        self._planned = None
        asked = error.retry_after if isinstance(error, ApiUnavailable) else None
        self._not_before = self._clock() + (asked or self._backoff.wait(self._away))
