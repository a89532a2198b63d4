"""Network namespaces: make and delete them, and act inside one without leaving one's own.

A socket belongs for good to the namespace it was made in, so a probe from a pod needs no
process there: a short-lived thread enters, makes the socket and hands it out.
"""

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from outgate.lab import syscalls
from outgate.lab.errors import LabError

T = TypeVar("T")


def inside(namespace: Path, action: Callable[[], T]) -> T:
    """Run `action` in a thread that lives in `namespace`; its result or its exception."""
    results: list[T] = []
    failures: list[BaseException] = []

    def enter() -> None:
        try:
            descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                syscalls.setns(descriptor, syscalls.CLONE_NEWNET)
            finally:
                os.close(descriptor)
            results.append(action())
        except BaseException as error:  # handed to the caller, who asked for this thread
            failures.append(error)

    thread = threading.Thread(target=enter, name=f"in {namespace.name}")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def open_socket(namespace: Path, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """A socket of that namespace, for use by any thread."""
    return inside(namespace, lambda: socket.socket(family, kind, protocol))


def write_sysctls(namespace: Path, settings: dict[str, str]) -> None:
    """Set `net.*` values (keys with slashes, below /proc/sys/net) in that namespace only."""

    def write() -> None:
        for key, value in settings.items():
            Path("/proc/sys/net", key).write_text(value)

    inside(namespace, write)


def batch(lines: Iterable[str], *, namespace: str | None = None) -> None:
    """Run `ip` commands, in order, in one process; LabError with what `ip` said."""
    argv = ["ip", *(["-n", namespace] if namespace else []), "-batch", "-"]
    script = "".join(f"{line}\n" for line in lines)
    result = subprocess.run(argv, input=script, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        where = f" in {namespace}" if namespace else ""
        raise LabError(f"ip refused{where}: {result.stderr.strip()}")


def enter_argv(namespace: Path, argv: Iterable[str]) -> list[str]:
    """A command line that runs `argv` in a network namespace.

    `ip netns exec` would also remount /sys, and so hide /sys/fs/cgroup.
    """
    return ["nsenter", f"--net={namespace}", "--", *argv]
