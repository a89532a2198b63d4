"""Real-time scheduling, as the kernel grants it, bounds it and refuses it."""

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.kernel

NOBODY = 65534


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"from outgate.daemon.realtime import begin\n{code}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_thread_that_starts_afterwards_is_in_real_time_too() -> None:
    done = run(
        "import os, threading\n"
        "begin()\n"
        "print(os.sched_getscheduler(0), flush=True)\n"
        "one = threading.Thread(target=lambda: print(os.sched_getscheduler(0)))\n"
        "one.start(); one.join()"
    )
    assert done.stdout.split() == [str(os.SCHED_RR)] * 2, done.stderr


def test_one_that_spins_is_killed_and_one_that_waits_now_and_then_is_not() -> None:
    spins = run("begin(spin=0.3)\nwhile True: pass")
    assert spins.returncode == -signal.SIGKILL
    waits = run(
        "import time\n"
        "begin(spin=0.3)\n"
        "while time.thread_time() < 0.6:\n"
        "    until = time.monotonic() + 0.02\n"
        "    while time.monotonic() < until: pass\n"
        "    time.sleep(0.001)\n"
    )
    assert waits.returncode == 0, waits.stderr


def test_who_may_not_hears_so_and_goes_on_as_before() -> None:
    done = run(
        "import os, resource\n"
        f"os.setuid({NOBODY})\n"
        "try: begin()\n"
        "except PermissionError as error: print(error.strerror)\n"
        "assert os.sched_getscheduler(0) == os.SCHED_OTHER\n"
        "assert resource.getrlimit(resource.RLIMIT_RTTIME)[1] == resource.RLIM_INFINITY"
    )
    assert (done.returncode, done.stdout) == (0, "Operation not permitted\n"), done.stderr
