import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from outgate.daemon.backoff import Backoff
from outgate.daemon.metrics import task_failed
from outgate.daemon.supervisor import Limits, Supervisor

DEADLINE = 5.0
QUICK = Limits(backoff=Backoff(first=0.001, most=0.01), grace=1.0)


class Loop:
    """Fails so many times, then runs until it is stopped."""

    def __init__(self, name: str = "loop", *, failures: int = 0) -> None:
        self.name = name
        self.runs = 0
        self.running = threading.Event()
        self.stopped = threading.Event()
        self._failures = failures

    def run(self, stop: threading.Event) -> None:
        self.runs += 1
        if self.runs <= self._failures:
            raise RuntimeError("no luck")
        self.running.set()
        stop.wait()
        self.stopped.set()

    def ready(self) -> bool:
        return self.running.is_set()


class Quitter(Loop):
    """Returns though nobody has stopped it."""

    def run(self, stop: threading.Event) -> None:
        self.runs += 1
        if self.runs == 3:
            self.running.set()
            stop.wait()


class Deaf(Loop):
    """Does not stop when it is told to."""

    def run(self, stop: threading.Event) -> None:
        self.running.set()
        self.stopped.wait(DEADLINE)


@contextmanager
def supervised(supervisor: Supervisor) -> Iterator[None]:
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        yield
    finally:
        supervisor.stop()
        thread.join(DEADLINE)
        assert not thread.is_alive()


def failures(task: str) -> float:
    return REGISTRY.get_sample_value("outgate_task_failures_total", {"task": task}) or 0.0


def test_every_task_runs_in_a_thread_that_bears_its_name() -> None:
    first, second = Loop("first"), Loop("second")
    with supervised(Supervisor([first, second])):
        assert first.running.wait(DEADLINE)
        assert second.running.wait(DEADLINE)
        assert {"first", "second"} <= {thread.name for thread in threading.enumerate()}
    assert first.stopped.is_set()
    assert second.stopped.is_set()


def test_a_task_that_fails_is_started_again_and_counted() -> None:
    loop = Loop("flaky", failures=3)
    before = failures("flaky")
    with supervised(Supervisor([loop], limits=QUICK, failed=task_failed)):
        assert loop.running.wait(DEADLINE)
    assert loop.runs == 4
    assert failures("flaky") == before + 3


def test_a_failure_that_repeats_is_logged_once() -> None:
    loop = Loop(failures=3)
    with capture_logs() as logs, supervised(Supervisor([loop], limits=QUICK)):
        assert loop.running.wait(DEADLINE)
    failed = [entry for entry in logs if entry["log_level"] == "error"]
    assert [entry["why"] for entry in failed] == ["RuntimeError: no luck"]


def test_a_task_that_returns_unasked_is_started_again() -> None:
    loop = Quitter()
    with supervised(Supervisor([loop], limits=QUICK)):
        assert loop.running.wait(DEADLINE)
    assert loop.runs == 3


def test_a_failing_task_leaves_the_others_alone() -> None:
    broken, fine = Loop("broken", failures=10**6), Loop("fine")
    with supervised(Supervisor([broken, fine], limits=QUICK)):
        assert fine.running.wait(DEADLINE)
        assert fine.runs == 1


def test_a_task_is_ready_when_it_runs_and_says_so() -> None:
    loop = Loop()
    supervisor = Supervisor([loop], limits=QUICK)
    assert supervisor.unready() == {"loop": "not started"}
    with supervised(supervisor):
        assert loop.running.wait(DEADLINE)
        assert supervisor.unready() == {}
        loop.running.clear()
        assert supervisor.unready() == {"loop": "not ready"}


class Clock:
    """Time as a number, that tests set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def until(holds: Callable[[], bool]) -> None:
    for _ in range(int(DEADLINE / 0.005)):
        if holds():
            return
        threading.Event().wait(0.005)
    raise AssertionError("waited in vain")


def test_a_task_that_fails_for_long_is_dead_and_says_why() -> None:
    clock = Clock()
    loop = Loop("hopeless", failures=10**6)
    limits = Limits(patience=300.0, backoff=QUICK.backoff, grace=1.0)
    supervisor = Supervisor([loop], limits=limits, clock=clock)
    with supervised(supervisor):
        until(lambda: loop.runs > 1)
        assert supervisor.dead() == {}
        clock.now = 301.0
        assert supervisor.dead() == {"hopeless": "failing for 301 s: RuntimeError: no luck"}


def test_a_task_that_runs_well_for_long_has_its_failures_forgotten() -> None:
    clock = Clock()
    loop = Loop("reformed", failures=2)
    limits = Limits(settled=30.0, patience=20.0, backoff=QUICK.backoff, grace=1.0)
    supervisor = Supervisor([loop], limits=limits, clock=clock)
    with supervised(supervisor):
        assert loop.running.wait(DEADLINE)
        clock.now = 31.0
        until(lambda: supervisor.dead() == {})


def test_tasks_that_do_not_stop_are_named_and_not_waited_for() -> None:
    deaf = Deaf("deaf")
    limits = Limits(grace=0.05)
    with capture_logs() as logs, supervised(Supervisor([deaf, Loop()], limits=limits)):
        assert deaf.running.wait(DEADLINE)
    deaf.stopped.set()
    assert [entry["tasks"] for entry in logs if "tasks did not stop" in entry["event"]] == [
        ["deaf"]
    ]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_and_the_old_handlers_come_back(signum: signal.Signals) -> None:
    loop = Loop()
    before = signal.getsignal(signum)

    def kill() -> None:
        assert loop.running.wait(DEADLINE)
        os.kill(os.getpid(), signum)

    killer = threading.Thread(target=kill)
    killer.start()
    Supervisor([loop]).run()
    killer.join()
    assert loop.stopped.is_set()
    assert signal.getsignal(signum) == before


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="'loop'"):
        Supervisor([Loop(), Loop()])
