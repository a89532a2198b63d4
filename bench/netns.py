"""Namespaces for benchmarks: the kernel tests' own, gone at the end whatever happens."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from kernel.harness import Namespace

__all__ = ["Namespace", "OutOfTime", "bounded"]

_FOLDER = Path("/run/netns")


class OutOfTime(Exception):
    """A benchmark took longer than it may."""


@contextmanager
def bounded(seconds: int) -> Iterator[None]:
    """End what runs here after so many seconds (OutOfTime) or on SIGTERM, then sweep.

    All namespaces that this process has made are deleted, with everything in them: by the names
    that the harness gives them, so that one whose making was interrupted goes too.
    """

    def late(number: int, frame: FrameType | None) -> NoReturn:
        raise OutOfTime(f"not done in {seconds} s")

    def ended(number: int, frame: FrameType | None) -> NoReturn:
        if os.getpid() != process:
            os._exit(0)  # pyroute2 forks for another namespace, and ends its child like this
        raise KeyboardInterrupt

    process = os.getpid()

    before = {
        signal.SIGALRM: signal.signal(signal.SIGALRM, late),
        signal.SIGTERM: signal.signal(signal.SIGTERM, ended),
    }
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        # What is half swept is left behind: a second Ctrl-C has to wait.
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        _sweep()
        signal.signal(signal.SIGINT, interrupt)
        for number, handler in before.items():
            signal.signal(number, handler)


def _sweep() -> None:
    for path in sorted(_FOLDER.glob(f"og{os.getpid()}-*")):
        subprocess.run(["ip", "netns", "del", path.name], check=False)
