"""A stop event for loops under test: it does not wait, it notes how long it should have."""

import threading


class CountedStop(threading.Event):
    """Set after so many pauses; `pauses` says how long each should have been."""

    def __init__(self, pauses: int) -> None:
        super().__init__()
        self.pauses: list[float] = []
        self._left = pauses

    def wait(self, timeout: float | None = None) -> bool:
        """Wait only where no time is given."""
        if timeout is None:
            return super().wait()
        self.pauses.append(timeout)
        if len(self.pauses) >= self._left:
            self.set()
        return self.is_set()
