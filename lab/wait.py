"""Waiting with a deadline: the one place of the lab that polls."""

import time
from collections.abc import Callable
from typing import TypeVar

from outgate.lab.errors import LabTimeout

T = TypeVar("T")


def until(
    what: str,
    attempt: Callable[[], T],
    *,
    timeout: float = 30.0,
    interval: float = 0.1,
    reason: Callable[[], str] | None = None,
) -> T:
    """The first truthy value of `attempt`; LabTimeout after `timeout` seconds.

    `what` completes the sentence "waited N s for ..."; `reason`, if given, adds to it.
    An `attempt` that raises ends the wait: only it knows which errors are passing ones.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = attempt()
        if value:
            return value
        if time.monotonic() >= deadline:
            more = f": {reason()}" if reason else f" (last seen: {value!r})"
            raise LabTimeout(f"waited {timeout:g} s for {what}{more}")
        time.sleep(interval)
