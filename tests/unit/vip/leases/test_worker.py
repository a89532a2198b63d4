import threading
from queue import Empty, Queue

import pytest

from outgate.vip.leases.worker import Job, Worker

SOON = 10.0


class Recorder:
    """A worker's other side. gate: closed, what is done waits."""

    def __init__(self, *, patience: float = 60.0) -> None:
        self.done = Queue[str]()
        self.dropped = Queue[str]()
        self.began = Queue[str]()
        self.gate = threading.Event()
        self.worker = Worker("test", patience=patience, do=self._do, dropped=self.dropped.put)

    def _do(self, job: Job[str]) -> None:
        self.began.put(job.what)
        assert self.gate.wait(SOON)
        self.done.put(job.what)


def nothing(queue: Queue[str]) -> bool:
    try:
        queue.get_nowait()
    except Empty:
        return True
    return False


def test_things_are_done_in_their_order() -> None:
    one = Recorder()
    one.gate.set()
    for what in "abc":
        one.worker.submit(what, what)
    assert [one.done.get(timeout=SOON) for _ in "abc"] == ["a", "b", "c"]
    one.worker.close()


def test_what_waits_is_replaced_by_what_is_newer() -> None:
    one = Recorder()
    one.worker.submit("key", "under way")
    assert one.began.get(timeout=SOON) == "under way"
    for what in ("old", "older than the last", "last"):
        one.worker.submit("key", what)
    assert [one.dropped.get(timeout=SOON) for _ in range(2)] == ["old", "older than the last"]
    one.gate.set()
    assert [one.done.get(timeout=SOON) for _ in range(2)] == ["under way", "last"]
    assert nothing(one.dropped)
    one.worker.close()


def test_what_has_waited_too_long_is_not_done() -> None:
    one = Recorder(patience=0.0)
    one.worker.submit("late", "late")
    assert one.dropped.get(timeout=SOON) == "late"
    assert nothing(one.began)
    one.worker.close()


def test_after_the_end_nothing_is_begun() -> None:
    one = Recorder()
    one.worker.submit("first", "first")
    assert one.began.get(timeout=SOON) == "first"
    one.worker.submit("second", "second")
    one.worker.close()
    one.gate.set()
    assert one.done.get(timeout=SOON) == "first"
    one.worker._thread.join(SOON)
    assert not one.worker._thread.is_alive()
    assert nothing(one.began)


@pytest.mark.parametrize("times", [0, 1])
def test_it_may_end_before_it_began_and_twice(times: int) -> None:
    one = Recorder()
    for _ in range(times + 1):
        one.worker.close()
    assert not one.worker._thread.is_alive()
