"""Performs the plan's writes, and remembers what became of them.

A write that fails holds up nothing but itself: it is tried again, ever more slowly, until it
succeeds, is not wanted any more, or another one is wanted in its place.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from outgate.controller import metrics
from outgate.controller.model import Apply, Delete, HasMetadata, Snapshot, Tell, Write
from outgate.controller.overlay import Overlay
from outgate.controller.watched import FIELDS
from outgate.daemon.backoff import Backoff
from outgate.kube.api import Api
from outgate.kube.errors import ApiError, ApiNotFound, ApiUnavailable

log = structlog.get_logger("outgate.controller")

MANAGER = "outgate-controller"
"""Field manager of our applies, and component of our Events."""

WRITERS = 4
"""Threads that write at once: 10,000 statuses are written in a minute, and the API server lives."""


@dataclass(frozen=True, slots=True)
class _Failed:
    """A write that failed so many times in a row, why, and when to try it again."""

    body: object
    failures: int
    until: float
    why: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a write: an answer, an error, or neither, if it was left for later."""

    write: Write
    answer: HasMetadata | None = None
    error: ApiError | None = None
    done: bool = False


_Target = tuple[str, str, str, str]  # kind, namespace, name, subresource


class Writer:
    """Writes in threads, as long as `leading` says so. Itself used by one thread only."""

    def __init__(
        self,
        api: Api,
        overlay: Overlay,
        *,
        leading: Callable[[], bool],
        backoff: Backoff,
        clock: Callable[[], float],
    ) -> None:
        self._api = api
        self._overlay = overlay
        self._leading = leading
        self._backoff = backoff
        self._clock = clock
        self._failed: dict[_Target, _Failed] = {}

    @property
    def next_try(self) -> float | None:
        """When the first of the failed writes is due again; None if none has failed."""
        return min((failed.until for failed in self._failed.values()), default=None)

    def still_wanted(self, writes: Iterable[Write]) -> None:
        """Forget failed writes that are not among these."""
        if self._failed:
            wanted = {_target(write) for write in writes if not isinstance(write, Tell)}
            self._failed = {t: failed for t, failed in self._failed.items() if t in wanted}

    def forget(self) -> None:
        """Forget all failed writes."""
        self._failed.clear()

    def write(
        self, stage: Iterable[Write], watched: Snapshot, *, end: float = float("inf")
    ) -> list[Result]:
        """Do the stage's writes, but for those whose time has not come; begin none after `end`.

        Raises ApiUnavailable if the server does not answer; what was done by then is remembered.
        """
        now = self._clock()
        due = [write for write in stage if not self._waits(write, now)]
        halt = threading.Event()

        def attempt(write: Write) -> Result:
            if halt.is_set() or self._clock() >= end or not self._leading():
                return Result(write)
            result = self._attempt(write)
            if result.error is not None and _is_away(result.error):
                halt.set()
            return result

        if len(due) > 1:
            with ThreadPoolExecutor(WRITERS, thread_name_prefix="write") as pool:
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

    def _attempt(self, write: Write) -> Result:
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
            return Result(write, error=error)
        return Result(write, answer, done=True)

    def _tell(self, event: Tell) -> None:
        self._api.event(
            event.kind,
            event.regarding,
            type=event.type,
            reason=event.reason,
            message=event.message,
            component=MANAGER,
        )
        if event.count:
            metrics.MOVES.labels(event.regarding.metadata.name).inc(event.count)

    def _note(self, result: Result, watched: Snapshot) -> None:
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
            self._failed.pop(target, None)
            return
        metrics.ERRORS.labels(write.kind.name, type(error).__name__).inc()
        before = self._failed.get(target)
        if before is None or before.why != str(error):
            log.warning("write failed", object=_name(target), why=str(error))
        failures = before.failures + 1 if before is not None else 1
        until = now + self._backoff.wait(failures)
        self._failed[target] = _Failed(_body(write), failures, until, str(error))


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
