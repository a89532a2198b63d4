"""When a loop has to go on: as soon as something urgent changed, a little later for the rest."""

import threading
import time


class Wakeup:
    """Many threads ask for a turn, one waits for it. Requests until then are one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: float | None = None

    def ask(self, delay: float = 0.0) -> None:
        """Ask for a turn in so many seconds, or sooner if one is due sooner."""
        due = time.monotonic() + delay
        with self._changed:
            if self._due is None or due < self._due:
                self._due = due
                self._changed.notify()

    def ask_on(self, stop: threading.Event, *, name: str) -> None:
        """Ask for a last turn when `stop` is set, so that who waits notices at once."""

        def watch() -> None:
            stop.wait()
            self.ask()

        threading.Thread(target=watch, name=f"{name} stop", daemon=True).start()

    def wait(self, *, most: float) -> bool:
        """Wait for the next turn, at most so many seconds; whether one was asked for."""
        deadline = time.monotonic() + most
        with self._changed:
            while True:
                now = time.monotonic()
                if self._due is not None and self._due <= now:
                    self._due = None
                    return True
                if now >= deadline:
                    return False
                wake = deadline if self._due is None else min(self._due, deadline)
                self._changed.wait(wake - now)
