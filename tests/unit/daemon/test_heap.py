import gc
import threading
from collections.abc import Iterator

import pytest

from outgate.daemon import heap


@pytest.fixture
def collector() -> Iterator[None]:
    """The collector as it was."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("collector")
def test_the_collector_rests_while_a_process_starts_and_leaves_alone_what_that_made() -> None:
    usual = gc.get_threshold()
    heap.begin()
    assert gc.get_threshold() > usual
    heap.settle()
    assert gc.get_threshold() == usual
    assert gc.get_freeze_count() > 0


def test_memory_is_given_back_until_the_process_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    given = threading.Semaphore(0)
    monkeypatch.setattr(heap, "EVERY", 0.001)
    monkeypatch.setattr(heap, "trim", given.release)
    stop = threading.Event()
    task = heap.Heap()
    thread = threading.Thread(target=task.run, args=(stop,))
    thread.start()
    assert all(given.acquire(timeout=5) for _ in range(3))
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert task.ready()


def test_an_allocator_that_cannot_give_back_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_malloc_trim", None)
    heap.trim()
