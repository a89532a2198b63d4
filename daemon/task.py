"""The one contract for all that runs: a named loop that stops when it is told to."""

import threading
from typing import Protocol


class Task(Protocol):
    """A loop that the supervisor runs in a thread of its own.

    `run` returns once `stop` is set, and not before. Raising means "restart me": what a task
    keeps must then still be true, and what was not done still be to do. Stopping is not dying:
    a task that has to say goodbye (release a lease) does it before it returns.
    """

    @property
    def name(self) -> str:
        """What logs, metrics and the thread call it; unique in the process."""

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. Called again, with the same event, after a failure."""

    def ready(self) -> bool:
        """Whether it does its work: what `/readyz` asks. From any thread, without blocking."""
