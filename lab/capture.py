"""Listening to a segment of the lab with tcpdump."""

import contextlib
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from outgate.lab import cgroups, netns, wait
from outgate.lab.errors import LabError
from outgate.lab.fabric import BRIDGE
from outgate.lab.paths import Paths
from outgate.lab.topology import FABRIC, OUTSIDE, Topology

LAN = "lan"
START_SECONDS = 10.0


def tcpdump_argv(
    paths: Paths, topology: Topology, segment: str, arguments: Sequence[str]
) -> list[str]:
    """tcpdump on a segment: `lan`, `outside`, or a host's own interface by the host's name."""
    if segment == LAN:
        host, interface = FABRIC, BRIDGE
    elif segment == OUTSIDE:
        host, interface = OUTSIDE, "eth0"
    else:
        try:
            host, interface = topology.host(segment).name, "eth0"
        except LabError as error:
            raise LabError(f"no segment {segment!r}: {LAN}, or a host ({error})") from error
        if not paths.netns(host).exists():
            raise LabError(f"{host} is off: it has no interface to listen on")
    # root drops its rights otherwise, and then may not write the file
    return netns.enter_argv(
        paths.netns(host),
        ["tcpdump", "-Z", "root", "-n", "-i", interface, "--immediate-mode", *arguments],
    )


def show(
    paths: Paths, topology: Topology, segment: str, expression: str, *, seconds: float, count: int
) -> None:
    """Print packets as they pass, for that long or that many."""
    argv = tcpdump_argv(paths, topology, segment, ["-l", *_selection(count, expression)])
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)


class Capture:
    """A running capture into a file: a context manager, which listens from its start on."""

    def __init__(
        self,
        paths: Paths,
        topology: Topology,
        segment: str,
        file: Path,
        *,
        count: int = 0,
        expression: str = "",
    ) -> None:
        self._file = file
        argv = tcpdump_argv(
            paths, topology, segment, ["-U", "-w", str(file), *_selection(count, expression)]
        )
        self._errors = file.with_name(file.name + ".stderr")
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                preexec_fn=lambda: cgroups.join_as_visitor(paths),  # noqa: PLW1509
            )
        wait.until("tcpdump to listen", self._listening, timeout=START_SECONDS, interval=0.02)

    def __enter__(self) -> "Capture":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def join(self, seconds: float) -> None:
        """Wait until the count is reached, at most that long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def stop(self) -> Path:
        """End the capture; the file, complete."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(START_SECONDS)
        self._errors.unlink(missing_ok=True)
        return self._file

    def lines(self, *options: str) -> list[str]:
        """The packets so far, as tcpdump prints them with these options."""
        result = subprocess.run(
            ["tcpdump", "-n", "-r", str(self._file), *options],
            capture_output=True,
            text=True,
            check=False,
        )
        return result.stdout.splitlines()

    def _listening(self) -> bool:
        said = self._errors.read_text()
        if self._process.poll() is not None and "listening on" not in said:
            raise LabError(f"tcpdump: {said.strip()}")
        return "listening on" in said


def _selection(count: int, expression: str) -> list[str]:
    return [*(["-c", str(count)] if count else []), *([expression] if expression else [])]
