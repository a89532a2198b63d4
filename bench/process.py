"""The processes of a node, as its pod runs them: in its namespace, with a service account."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.netns import Namespace, OutOfTime
from outgate.agent.config import HTTP_PORT
from outgate.daemon.closing import Closing

ACCOUNT = "/run/secrets/kubernetes.io/serviceaccount"
READY_SECONDS = 60.0
POLL = 0.01
READY_POLL = 0.05
"""Seconds between questions whether the agent is ready: each one costs the agent 1 ms."""

_ENTER = 'mount -t tmpfs none /run && mkdir -p "$1" && cp "$0"/* "$1" && shift && exec "$@"'

# Of the packages that a developer has and the image has not, only rich is imported where it is
# found: by structlog, to draw tracebacks on a terminal. 5 MB in each process.
_RUN = "import sys; sys.modules['rich'] = None; from {module} import main; main()"

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a process, in bytes.

    pss: what it has of its own, and its share of what it shares. rss: with all that it shares.
    peak: the most that rss has ever been.
    """

    pss: int
    rss: int
    peak: int


class Process(Closing):
    """One of our processes, running until `close`. log: the file of what it says."""

    def __init__(
        self,
        module: str,
        *arguments: str,
        namespace: Namespace,
        account: Path,
        log: Path,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.log = log
        python = (sys.executable, "-c", _RUN.format(module=module))
        enter = ("nsenter", f"--net={namespace.path}", "unshare", "--mount")
        shell = ("sh", "-c", _ENTER, str(account), ACCOUNT)
        with log.open("wb") as output:
            # Every one of them becomes the next, so that the process has the id that is known.
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", *enter, *shell, *python, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                    "KUBERNETES_SERVICE_HOST": "127.0.0.1",
                    "KUBERNETES_SERVICE_PORT": "6443",
                    **(environment or {}),
                },
            )

    def memory(self) -> Memory:
        """What it takes now."""
        folder = Path("/proc", str(self._process.pid))
        return memory(
            folder.joinpath("smaps_rollup").read_text(), folder.joinpath("status").read_text()
        )

    def cpu(self) -> float:
        """Seconds of CPU that it has used since it began."""
        fields = (
            Path("/proc", str(self._process.pid), "stat").read_text().rpartition(")")[2].split()
        )
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # proc(5): 14, 15

    def check(self) -> None:
        """Raises RuntimeError with its last words if it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"it ended: {self.log.read_text()[-2000:]}")

    def close(self) -> None:
        """Ask it to stop, and wait until it has."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def memory(rollup: str, status: str) -> Memory:
    """What /proc/PID/smaps_rollup and /proc/PID/status say."""

    def size(text: str, name: str) -> int:
        return next(
            int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(f"{name}:")
        )

    return Memory(size(rollup, "Pss"), size(rollup, "Rss"), size(status, "VmHWM"))


def agent(
    namespace: Namespace, account: Path, *, node: str, folder: Path, arguments: Sequence[str] = ()
) -> Process:
    """The node's agent."""
    return Process(
        "outgate.agent.__main__",
        f"--vip-socket={folder}/vip.sock",
        f"--node-name={node}",
        *arguments,
        namespace=namespace,
        account=account,
        log=folder / "agent.log",
    )


def vip(namespace: Namespace, account: Path, *, folder: Path, keys: Path | None = None) -> Process:
    """The node's vip process; without keys, it can say nothing to others."""
    return Process(
        "outgate.vip.__main__",
        f"--socket={folder}/vip.sock",
        *([] if keys is None else [f"--keys={keys}"]),
        namespace=namespace,
        account=account,
        log=folder / "vip.log",
    )


def until(
    what: str, holds: Callable[[], bool], *, timeout: float = READY_SECONDS, poll: float = POLL
) -> None:
    """Wait until something holds. Raises OutOfTime."""
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise OutOfTime(f"waited {timeout:g} s in vain until {what}")
        time.sleep(poll)


def until_ready(process: Process, namespace: Namespace) -> None:
    """Wait until the agent says of itself that it is ready. Raises OutOfTime, RuntimeError."""

    def ready() -> bool:
        process.check()
        connection = http.client.HTTPConnection("127.0.0.1", HTTP_PORT, timeout=2.0)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False  # it does not listen yet
        finally:
            connection.close()

    namespace.inside(lambda: until("the agent is ready", ready, poll=READY_POLL))
