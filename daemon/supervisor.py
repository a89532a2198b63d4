"""Runs a process's tasks: a thread each, restarted when they fail, stopped by a signal."""

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import FrameType

import structlog

from outgate.daemon.backoff import Backoff
from outgate.daemon.task import Task

log = structlog.get_logger("outgate.daemon")

TICK = 1.0
"""Seconds between two looks at how the tasks are doing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Timings of a supervisor, in seconds.

    settled: a task that ran for so long is well again. patience: a task that fails and fails for
    longer than this makes the process unhealthy. grace: how long tasks may take to stop.
    """

    settled: float = 30.0
    patience: float = 300.0
    grace: float = 10.0
    backoff: Backoff = field(default_factory=Backoff)


class _Run:
    """One task's thread: runs it, waits, runs it again."""

    def __init__(
        self,
        task: Task,
        *,
        limits: Limits,
        clock: Callable[[], float],
        failed: Callable[[str], object],
    ) -> None:
        self.task = task
        self._tell = failed
        self.failures = 0  # in a row
        self.failing_since: float | None = None
        self.why = ""
        self.running = False
        self._started = clock()
        self._limits = limits
        self._clock = clock
        self.thread = threading.Thread(target=self._loop, name=task.name, daemon=True)
        self._stop = threading.Event()

    def start(self, stop: threading.Event) -> None:
        self._stop = stop
        self.thread.start()

    def settle(self, now: float) -> None:
        """Forget past failures of a task that has run well for long enough."""
        if self.failures and now - self._started >= self._limits.settled:
            log.info("task runs again", task=self.task.name, failures=self.failures)
            self.failures, self.failing_since, self.why = 0, None, ""

    def dead(self, now: float) -> str:
        if not self.thread.is_alive():
            return "its thread has ended"
        since = self.failing_since
        if since is not None and now - since > self._limits.patience:
            return f"failing for {now - since:.0f} s: {self.why}"
        return ""

    def unready(self) -> str:
        if self.running:
            return "" if self.task.ready() else "not ready"
        return f"failed: {self.why}" if self.why else "not started"

    def _loop(self) -> None:
        while not self._stop.is_set():
            self._started = self._clock()
            self.running = True
            try:
                self.task.run(self._stop)
            except Exception as error:
                self._failed(f"{type(error).__name__}: {error}", error)
            else:
                if not self._stop.is_set():
                    self._failed("returned though it was not stopped", None)
            finally:
                self.running = False
            self._stop.wait(self._limits.backoff.wait(self.failures))

    def _failed(self, why: str, error: Exception | None) -> None:
        now = self._clock()
        self.settle(now)
        self._tell(self.task.name)
        # A new reason is news, the same one again is not.
        if why != self.why:
            log.error("task failed, restarting it", task=self.task.name, why=why, exc_info=error)
        self.failures += 1
        self.why = why
        # A time far in the future: the pause before the restart is no time of running well.
        self._started = float("inf")
        if self.failing_since is None:
            self.failing_since = now


class Supervisor:
    """Runs tasks until SIGTERM, SIGINT or `stop()`.

    The only place of ours that catches every exception: it logs the failure once and starts the
    task again, after a pause that grows. failed: called with the task's name each time, in that
    task's thread.
    """

    def __init__(
        self,
        tasks: Iterable[Task] = (),
        *,
        limits: Limits = Limits(),
        clock: Callable[[], float] = time.monotonic,
        failed: Callable[[str], object] = lambda task: None,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._failed = failed
        self._runs: list[_Run] = []
        # Of all that can wake a thread, SimpleQueue.put alone is safe in a signal handler:
        # Event.set() there can deadlock with the Event.wait() that it interrupts.
        self._wake: queue.SimpleQueue[str] = queue.SimpleQueue()
        for task in tasks:
            self.add(task)

    def add(self, task: Task) -> None:
        """Take one more task, before `run`. Raises ValueError if its name is taken."""
        if any(run.task.name == task.name for run in self._runs):
            raise ValueError(f"two tasks are called {task.name!r}")
        self._runs.append(_Run(task, limits=self._limits, clock=self._clock, failed=self._failed))

    def run(self) -> None:
        """Run all tasks; return when all have stopped, or the grace period is over."""
        restore = self._catch_signals()
        stop = threading.Event()
        try:
            for run in self._runs:
                run.start(stop)
            log.info("started", tasks=len(self._runs))
            why = self._wait()
        finally:
            stop.set()
            # From here on a second signal kills: whoever sends one is tired of waiting.
            restore()
        log.info("stopping", why=why)
        self._join()

    def stop(self) -> None:
        """Make `run` return; from any thread."""
        self._wake.put("asked to")

    def dead(self) -> Mapping[str, str]:
        """Tasks that are beyond help, and why: for `/healthz`."""
        now = self._clock()
        return {run.task.name: why for run in self._runs if (why := run.dead(now))}

    def unready(self) -> Mapping[str, str]:
        """Tasks that do not do their work now, and why: for `/readyz`."""
        return {run.task.name: why for run in self._runs if (why := run.unready())}

    def _wait(self) -> str:
        while True:
            try:
                return self._wake.get(timeout=TICK)
            except queue.Empty:
                now = self._clock()
                for run in self._runs:
                    run.settle(now)

    def _join(self) -> None:
        deadline = self._clock() + self._limits.grace
        for run in self._runs:
            run.thread.join(max(0.0, deadline - self._clock()))
        late = sorted(run.task.name for run in self._runs if run.thread.is_alive())
        if late:
            log.warning("tasks did not stop in time", tasks=late, grace=self._limits.grace)
        else:
            log.info("stopped")

    def _catch_signals(self) -> Callable[[], None]:
        if threading.current_thread() is not threading.main_thread():
            return lambda: None  # Python delivers signals to the main thread only

        def wake(signum: int, _: FrameType | None) -> None:
            self._wake.put(signal.Signals(signum).name)

        before = {signum: signal.signal(signum, wake) for signum in (signal.SIGTERM, signal.SIGINT)}

        def restore() -> None:
            for signum, handler in before.items():
                signal.signal(signum, handler)

        return restore
