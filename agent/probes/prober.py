"""Runs the probes of all gateways that this node may serve: a thread for each target."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from outgate.agent.probes import metrics
from outgate.agent.probes.checks import checks_of
from outgate.agent.probes.course import Check, Course, Kind, Verdict, begin, verdict
from outgate.agent.probes.get import get
from outgate.agent.probes.ping import ping
from outgate.agent.wake import Wakeup
from outgate.api.probes import HealthProbes

log = structlog.get_logger("outgate.agent")

IDLE = 60.0
"""Seconds between two looks where nothing happens."""


class Ask(Protocol):
    """Asks a target once."""

    def __call__(self, target: str, *, patience: float, stop: threading.Event) -> str:
        """Why it does not answer within `patience` seconds; "" if it does, or `stop` is set."""


ASKS: Mapping[Kind, Ask] = {"icmp": ping, "http": get}


@dataclass(frozen=True, slots=True)
class _Running:
    """A check's threads; set `stop` to end them."""

    stop: threading.Event
    threads: tuple[threading.Thread, ...]


class Prober:
    """A Task. `want`, `fitness` and `unready` may be called from any thread.

    Gateways that ask alike share their probes.
    """

    name = "probes"

    def __init__(
        self, asks: Mapping[Kind, Ask] = ASKS, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._asks = asks
        self._clock = clock
        self._lock = threading.Lock()
        self._wanted: Mapping[str, tuple[Check, ...]] = {}
        self._courses: dict[Check, Course] = {}
        self._wakeup = Wakeup()
        self._subscribers: list[Callable[[], object]] = []

    def want(
        self, probes: Mapping[str, HealthProbes | None], *, unfit: Collection[str] = ()
    ) -> None:
        """From now on these gateways' probes are run: those whose selector takes this node.

        unfit: gateways whose probes had failed when the agent was last heard of: their checks begin
        as failed ones, as do those of a gateway that fails now and asks otherwise.
        """
        with self._lock:
            wanted = {gateway: checks_of(asked) for gateway, asked in probes.items()}
            if wanted == self._wanted:
                return
            now = self._clock()
            failing = {name for name, one in self._verdicts(now).items() if not one.fit}
            failing |= set(unfit) - self._wanted.keys()
            courses: dict[Check, Course] = {}
            for gateway, checks in sorted(wanted.items()):
                for check in checks:
                    known = self._courses.get(check) or courses.get(check)
                    courses[check] = known or begin(check, now=now, failed=gateway in failing)
            self._wanted, self._courses = wanted, courses
        self._wakeup.ask()

    def fitness(self) -> Mapping[str, Verdict]:
        """Whether this node's probes let it serve each of the wanted gateways, and why not."""
        with self._lock:
            return self._verdicts(self._clock())

    def unready(self) -> str:
        """What `/readyz` says of the probes: "" if all pass."""
        return "; ".join(
            f"gateway {gateway}: {one.message}"
            for gateway, one in sorted(self.fitness().items())
            if not one.fit
        )

    def subscribe(self, callback: Callable[[], object]) -> None:
        """Call this, in the prober's thread, when `fitness` has changed."""
        self._subscribers.append(callback)

    def ready(self) -> bool:
        """It works also while probes fail: that is what it is for."""
        return True

    def run(self, stop: threading.Event) -> None:
        """Probe until stopped."""
        self._wakeup.ask_on(stop, name=self.name)
        running: dict[Check, _Running] = {}
        told: Mapping[str, Verdict] = {}
        try:
            while not stop.is_set():
                with self._lock:
                    courses = dict(self._courses)
                    now = self._clock()
                    verdicts = self._verdicts(now)
                self._run_exactly(courses.keys(), running)
                if verdicts != told:
                    _tell(verdicts, told)
                    told = verdicts
                    for callback in self._subscribers:
                        callback()
                ends = (course.wake(now) for course in courses.values())
                end = min((end for end in ends if end is not None), default=now + IDLE)
                self._wakeup.wait(most=end - now)
        finally:
            self._run_exactly((), running)

    def _verdicts(self, now: float) -> Mapping[str, Verdict]:
        return {
            gateway: verdict(self._courses, checks, now=now)
            for gateway, checks in self._wanted.items()
        }

    def _run_exactly(self, checks: Iterable[Check], running: dict[Check, _Running]) -> None:
        wanted = set(checks)
        for check in running.keys() - wanted:
            # They end when their answer comes, or when they have waited long enough for it.
            running.pop(check).stop.set()
            _forget(check, wanted)
        for check in wanted - running.keys():
            stop = threading.Event()
            threads = tuple(
                threading.Thread(
                    target=self._probe,
                    args=(check, target, stop),
                    name=f"{check.kind} {target}",
                    daemon=True,
                )
                for target in check.targets
            )
            running[check] = _Running(stop, threads)
            for thread in threads:
                thread.start()

    def _probe(self, check: Check, target: str, stop: threading.Event) -> None:
        """Ask one target each interval; an answer may take as long."""
        ask = self._asks[check.kind]
        while not stop.is_set():
            began = self._clock()
            error = ask(target, patience=check.interval, stop=stop)
            now = self._clock()
            if stop.is_set():
                return
            self._note(check, target, error, took=now - began, now=now)
            stop.wait(began + check.interval - now)

    def _note(self, check: Check, target: str, error: str, *, took: float, now: float) -> None:
        with self._lock:
            course = self._courses.get(check)
            if course is None:
                return  # not wanted any more
            if error:
                self._courses[check] = course.lost(target, error)
            else:
                self._courses[check] = course.heard(target, now=now)
            # Under the lock, so that what is not wanted any more is not counted anew.
            metrics.UP.labels(check.kind, target).set(not error)
            if error:
                metrics.FAILURES.labels(check.kind, target).inc()
            else:
                metrics.SECONDS.labels(check.kind).observe(took)
        self._wakeup.ask()


def _forget(check: Check, wanted: Collection[Check]) -> None:
    """Show its targets no more, but for those that another check asks, too."""
    left = {(other.kind, target) for other in wanted for target in other.targets}
    for target in check.targets:
        if (check.kind, target) not in left:
            for metric in (metrics.UP, metrics.FAILURES):
                metric.remove(check.kind, target)


def _tell(verdicts: Mapping[str, Verdict], told: Mapping[str, Verdict]) -> None:
    for gateway in told.keys() - verdicts.keys():
        metrics.FIT.remove(gateway)
    for gateway, one in verdicts.items():
        metrics.FIT.labels(gateway).set(one.fit)
        before = told.get(gateway)
        if not one.fit and (before is None or before.fit):
            log.warning("health probes fail", gateway=gateway, why=one.message)
        elif one.fit and before is not None and not before.fit:
            log.info("health probes pass again", gateway=gateway)
