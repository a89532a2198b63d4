"""A thread that does one thing after the other, and nothing that it is too late for.

A thing that waits is replaced by a newer one with the same key: however slow the API server is,
no more than one thing for each key waits, and none for longer than `patience`.
"""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

LEAST = 0.01
"""Seconds. With less than that left, nothing is begun that needs an answer."""


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """Something to do until a time of the monotonic clock."""

    what: T
    until: float

    @property
    def left(self) -> float:
        """Seconds that are left for it."""
        return self.until - time.monotonic()


class Worker(Generic[T]):
    """do: is called in the thread, with each thing and the time by which it has to be done.

    dropped: is called, from any thread, with each thing that is not done at all. Neither raises.
    """

    def __init__(
        self,
        name: str,
        *,
        patience: float,
        do: Callable[[Job[T]], object],
        dropped: Callable[[T], object],
    ) -> None:
        self._patience = patience
        self._do = do
        self._dropped = dropped
        self._waiting: dict[Hashable, Job[T]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._started = False

    def submit(self, key: Hashable, what: T) -> None:
        """Does this as soon as it can."""
        with self._changed:
            if not self._started:
                self._started = True
                self._thread.start()
            older = self._waiting.pop(key, None)
            self._waiting[key] = Job(what, time.monotonic() + self._patience)
            self._changed.notify()
        if older is not None:
            self._dropped(older.what)

    def close(self) -> None:
        """Does nothing more; what is under way is not waited for."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            if job.left < LEAST:
                self._dropped(job.what)
            else:
                self._do(job)

    def _next(self) -> Job[T] | None:
        with self._changed:
            while not (self._waiting or self._closed):
                self._changed.wait()
            if self._closed:
                return None
            return self._waiting.pop(next(iter(self._waiting)))
