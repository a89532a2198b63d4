"""Real-time processes in the lab's containers, as a node of today has them.

A kernel with CONFIG_RT_GROUP_SCHED refuses them in each cgroup (v1) that has no share of the real
time, and kubelet gives none; the kernels of most distributions are built without it. All that helps
is to lift the limit of the whole machine: it is the one thing that a lab changes on it, for as long
as there is a lab.
"""

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from outgate.lab import wait
from outgate.lab.errors import LabError, LabTimeout
from outgate.lab.paths import CGROUP_ROOT

LIMIT = Path("/proc/sys/kernel/sched_rt_runtime_us")
"""Microseconds of each `sched_rt_period_us` that real-time processes may take; -1: no limit."""

KEPT = Path("/run/outgate-lab.sched_rt_runtime_us")
"""What the limit was before the first lab."""

SHARES = CGROUP_ROOT / "cpu" / "cpu.rt_runtime_us"
"""Exists where cgroups have shares of the real time."""

LIFTED = "-1"
SECONDS = 10.0


def allow() -> None:
    """Real-time processes run in the lab's containers, if that may be changed here."""
    with _alone():
        if not SHARES.exists():
            return
        before = LIMIT.read_text().strip()
        if before == LIFTED:
            return
        KEPT.write_text(before)
        if not _written(LIFTED):  # a read-only /proc/sys; who runs in the containers will say so
            KEPT.unlink()


def restore(labs: Callable[[], object]) -> None:
    """The limit is what it was, if there are no `labs` any more. Raises LabError if it can't be."""
    with _alone():
        if labs() or not KEPT.exists():
            return
        before = KEPT.read_text()
        # The kernel lets go of a dead process a moment after it is no longer listed.
        try:
            wait.until("real-time processes to end", lambda: _written(before), timeout=SECONDS)
        except LabTimeout as error:
            raise LabError(f"{LIMIT} is {LIFTED}, and was {before}: {error}") from error
        KEPT.unlink()


def _written(value: str) -> bool:
    try:
        LIMIT.write_text(value)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One lab at a time."""
    with socket.socket(socket.AF_UNIX) as lock:

        def held() -> bool:
            try:
                lock.bind("\0outgate-lab")
            except OSError:
                return False
            return True

        wait.until("another lab to come or go", held, timeout=2 * SECONDS)
        yield
