"""Real-time scheduling, for a process that others take for dead when it is late.

On a busy node an ordinary process waits tens of milliseconds for a CPU, again and again, and
neither its nice value nor its container's shares change that: cgroups are weighed against each
other, at each level anew (sched(7)). Corosync runs in real time for the same reason, and keepalived
can (vrrp_rt_priority).
"""

import os
import resource

SPIN = 10.0
"""Seconds of CPU that a thread may take without once waiting for anything."""


def begin(*, spin: float = SPIN) -> None:
    """This thread, and each that it starts from now on, runs before all that is not real-time.

    The kernel kills the process when one of them spins for so long: nothing else would run on that
    CPU (setrlimit(2), RLIMIT_RTTIME). Raises OSError where it is not allowed; then nothing has
    changed.
    """
    priority = os.sched_get_priority_min(os.SCHED_RR)
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))
    most = int(spin * 1_000_000)
    _, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_RTTIME, (most, most))


def is_on() -> bool:
    """Whether this thread runs in real time."""
    return os.sched_getscheduler(0) == os.SCHED_RR
