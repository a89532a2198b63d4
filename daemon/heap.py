"""What a process does about its own memory: to start fast, and to give back what it used for that.

CPython's collector walks whatever is alive again and again while much is made at once; and what a
C library has freed stays in the allocator's hands, 50 MB after libnftables took 10,000 policies.
"""

import ctypes
import gc
import threading

EVERY = 10.0
"""Seconds between two times that memory is given back: 4 ms where there is much, else nothing."""

_START = (50_000, 20, 100)
"""The collector's thresholds while nearly everything that is made is there to stay."""

_USUAL = gc.get_threshold()

_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; musl has no need of it


class Heap:
    """Gives memory back now and then: a Task."""

    name = "heap"

    def ready(self) -> bool:
        """Always."""
        return True

    def run(self, stop: threading.Event) -> None:
        """Until stopped."""
        while not stop.wait(EVERY):
            trim()


def trim() -> None:
    """Give back what is free, of all threads' arenas."""
    if _malloc_trim is not None:
        _malloc_trim(0)


def begin() -> None:
    """The process begins to make what will stay: collect rarely, until `settle`."""
    gc.set_threshold(*_START)


def settle() -> None:
    """What there is now stays: no need for the collector to walk it ever again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_USUAL)
