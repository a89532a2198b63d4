"""The edge of the plan: waits for changes, plans, writes; the only place that writes.

Level-triggered and single-threaded, but for the writes of one stage. Only the leader writes; a
follower listens to heartbeats, so that it knows who is silent on the day that it leads.
A write that fails holds up nothing but itself: it is tried again, ever more slowly, until it
succeeds or is not wanted any more.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

import structlog

from outgate.controller import metrics
from outgate.controller.model import (
    Apply,
    Delete,
    HasMetadata,
    Memory,
    Plan,
    Settings,
    Snapshot,
    Tell,
    Write,
)
from outgate.controller.overlay import Overlay
from outgate.controller.plan import listen, next_silence, only_heartbeats, plan, silent_nodes
from outgate.controller.status import Moment
from outgate.controller.watched import FIELDS, KINDS, Watched
from outgate.daemon.backoff import Backoff
from outgate.kube.api import Api
from outgate.kube.errors import ApiError, ApiNotFound, ApiUnavailable

log = structlog.get_logger("outgate.controller")

MANAGER = "outgate-controller"
"""Field manager of our applies, and component of our Events."""

WRITERS = 4
"""Threads that write at once: 10,000 statuses are written in a minute, and the API server lives."""

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


@dataclass(frozen=True, slots=True)
class _Failed:
    """A write that failed so many times in a row, why, and when to try it again."""

    body: object
    failures: int
    until: float
    why: str


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of a write: an answer, an error, or neither, if it was left for later."""

    write: Write
    answer: HasMetadata | None = None
    error: ApiError | None = None
    done: bool = False


_Target = tuple[str, str, str, str]  # kind, namespace, name, subresource


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
        self._planned: tuple[Snapshot, Plan] | None = None  # None: plan anew, whatever changed
        self._planning = 0.0
        self._failed: dict[_Target, _Failed] = {}
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
        try:
            done = self._pass(now) if self._leads(now) else True
        except ApiUnavailable as error:
            self._server_away(error)
            return False
        if self._away:
            log.info("API server answers again", passes=self._away)
        self._away, self._healthy = 0, True
        return done

    def _leads(self, now: Moment) -> bool:
        """Whether we lead; sees to what begins and what ends with that."""
        leading = self._election.leading()
        metrics.LEADER.set(leading)
        if leading and not self._led:
            self._read_allocations(now)
        elif not leading:
            beats = listen(
                self._watched.snapshot(), settings=self._settings, memory=self._memory, now=now
            )
            self._memory = Memory(beats=beats)
            self._overlay.clear()
            self._failed.clear()
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
        with metrics.SECONDS.time():
            made = plan(snapshot, settings=self._settings, memory=self._memory, now=now)
            self._planning = self._clock() - now.mono
            self._planned = None
            self._memory = replace(made.memory, told=self._memory.told)
            wanted = {_target(write) for write in made.writes() if not isinstance(write, Tell)}
            self._failed = {target: f for target, f in self._failed.items() if target in wanted}
            results = [result for stage in made.urgent for result in self._perform(stage, watched)]
            self._memory = made.memory
            end = self._clock() + self._pace.burst
            for stage in made.patient:
                results += self._perform(stage, watched, end=end)
        done = [result.write for result in results if result.done]
        if done:
            log.info("reconciled", **_summary(done), took=round(self._clock() - now.mono, 3))
        if results:
            # What was written makes more possible, and what was left is to be done: no need to
            # wait for the watch. (What failed waits for its time.)
            if any(result.error is None for result in results):
                self._dirty.set()
            return False
        self._planned = (snapshot, made) if not self._failed else None
        return not self._failed

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
        times += [failed.until for failed in self._failed.values()]
        if self._away:
            times.append(self._not_before)
        silence = next_silence(self._memory.beats, settings=self._settings, now=now)
        wake = self._planned[1].wake if self._planned is not None else None
        times += [t for t in (silence, wake, self._overlay.expiry()) if t is not None]
        return max(0.0, min(times) - now.mono)

    def _perform(
        self, stage: Iterable[Write], watched: Snapshot, *, end: float = float("inf")
    ) -> list[_Result]:
        """Do the stage's writes, but for those whose time has not come; begin none after `end`.

        Raises ApiUnavailable if the server does not answer; what was done by then is remembered.
        """
        now = self._clock()
        due = [write for write in stage if not self._waits(write, now)]
        halt = threading.Event()

        def attempt(write: Write) -> _Result:
            if halt.is_set() or self._clock() >= end or not self._election.leading():
                return _Result(write)
            result = self._attempt(write)
            if result.error is not None and _is_away(result.error):
                halt.set()
            return result

        if len(due) > 1:
            with ThreadPoolExecutor(WRITERS, thread_name_prefix=self.name) as pool:
                results = list(pool.map(attempt, due))
        else:
            results = [attempt(write) for write in due]
        for result in results:
            self._note(result, watched)
        away = next((r.error for r in results if r.error and _is_away(r.error)), None)
        if isinstance(away, ApiUnavailable):
            raise away
        return results

    def _waits(self, write: Write, now: float) -> bool:
        """Whether this very write has failed, and its time has not come yet."""
        if isinstance(write, Tell):
            return False
        failed = self._failed.get(_target(write))
        return failed is not None and now < failed.until and failed.body == _body(write)

    def _attempt(self, write: Write) -> _Result:
        """Do one write; in any thread."""
        answer: HasMetadata | None = None
        try:
            match write:
                case Apply():
                    answer = self._api.apply(
                        write.kind,
                        write.name,
                        write.body,
                        namespace=write.namespace,
                        manager=MANAGER,
                        subresource=write.subresource,
                    )
                    for event in write.events:
                        self._tell(event)
                case Delete():
                    meta = write.object.metadata
                    self._api.delete(write.kind, meta.name, namespace=meta.namespace, uid=meta.uid)
                case Tell():
                    self._tell(write)
        except ApiError as error:
            return _Result(write, error=error)
        return _Result(write, answer, done=True)

    def _tell(self, event: Tell) -> None:
        self._api.event(
            event.kind,
            event.regarding,
            type=event.type,
            reason=event.reason,
            message=event.message,
            component=MANAGER,
        )

    def _note(self, result: _Result, watched: Snapshot) -> None:
        """Remember what became of a write."""
        write, error, now = result.write, result.error, self._clock()
        if isinstance(write, Tell) or not (result.done or error):
            return
        target = _target(write)
        field = FIELDS[write.kind.plural]
        if error is None:
            metrics.WRITES.labels(write.kind.name, type(write).__name__.lower()).inc()
            if self._failed.pop(target, None):
                log.info("write granted at last", object=_name(target))
            if result.answer is not None:
                shown = target[1:3] in getattr(watched, field)
                self._overlay.saw(field, result.answer, shown=shown, now=now)
            elif isinstance(write, Delete):
                self._overlay.deleted(field, write.object, now=now)
            return
        self._overlay.forget(field, target[1:3])
        if _is_away(error):
            return
        if isinstance(error, ApiNotFound):
            # Deleted meanwhile: the watch will say so.
            return
        metrics.ERRORS.labels(write.kind.name, type(error).__name__).inc()
        before = self._failed.get(target)
        if before is None or before.why != str(error):
            log.warning("write failed", object=_name(target), why=str(error))
        failures = before.failures + 1 if before is not None else 1
        until = now + self._backoff.wait(failures)
        self._failed[target] = _Failed(_body(write), failures, until, str(error))

    def _server_away(self, error: ApiUnavailable) -> None:
        """The server does not answer: all waits, longer each time."""
        if not self._away:
            log.warning("API server does not answer, waiting", why=str(error))
        metrics.ERRORS.labels("", type(error).__name__).inc()
        self._away += 1
        self._healthy = False
        self._planned = None
        wait = error.retry_after or self._backoff.wait(self._away)
        self._not_before = self._clock() + wait


def _is_away(error: ApiError) -> bool:
    """Whether it is the server that does not answer, or is too busy: not this object's fault.

    A 5xx is: one object's webhook may be broken, and the others' not.
    """
    return isinstance(error, ApiUnavailable) and error.status in (0, 429)


def _target(write: Apply | Delete) -> _Target:
    match write:
        case Apply():
            return write.kind.plural, write.namespace, write.name, write.subresource
        case Delete():
            meta = write.object.metadata
            return write.kind.plural, meta.namespace, meta.name, "delete"


def _body(write: Apply | Delete) -> object:
    return write.body if isinstance(write, Apply) else write.object.metadata.uid


def _name(target: _Target) -> str:
    return "/".join(filter(None, target))


def _summary(done: Iterable[Write]) -> dict[str, int]:
    verbs = Counter(type(write) for write in done)
    return {"applied": verbs[Apply], "deleted": verbs[Delete], "told": verbs[Tell]}
