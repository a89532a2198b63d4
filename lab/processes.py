"""Starting programs that outlive the lab's own command, in a host's namespace and cgroup."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from outgate.lab import cgroups, syscalls
from outgate.lab.errors import LabError
from outgate.lab.paths import Paths


def spawn(
    paths: Paths,
    host: str,
    component: str,
    argv: Sequence[str],
    *,
    environment: dict[str, str] | None = None,
) -> int:
    """Start `argv` detached on `host`, logging to its `component` log; its process id.

    The child joins cgroup and namespace before it becomes the program, so that however
    early the lab is killed, nothing runs that `down` would not find.
    """
    log = paths.logs(host) / f"{component}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    joins = [os.open(file, os.O_WRONLY | os.O_CLOEXEC) for file in cgroups.create(paths, host)]
    namespace = os.open(paths.netns(host), os.O_RDONLY | os.O_CLOEXEC)

    def enter() -> None:
        for join in joins:
            os.write(join, b"0")
        syscalls.setns(namespace, syscalls.CLONE_NEWNET)

    try:
        with log.open("ab") as output:
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd="/",
                preexec_fn=enter,  # noqa: PLW1509
                env={**os.environ, **(environment or {})},
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise LabError(f"cannot start {component} on {host}: {error}") from error
    finally:
        for descriptor in (*joins, namespace):
            os.close(descriptor)
    child.returncode = 0  # detached for good: keep Popen from warning about a live child
    return child.pid


def command_line(pid: int) -> str:
    """A process's arguments, joined by spaces; empty if it is gone or a kernel thread."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_alive(pid: int) -> bool:
    """Whether the process runs: a zombie (of whom nobody took the status yet) does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rsplit(")", 1)[1].split()[0] not in ("Z", "X")


def resident_bytes(pid: int) -> int:
    """Resident memory of a process in bytes; 0 if it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def program(command: str) -> str:
    """The file name of what a command line runs: for a script, not that of its interpreter."""
    first, second = [*command.split(), "", ""][:2]
    first = Path(first).name
    if first.startswith("python") and second and not second.startswith("-"):
        return Path(second).name
    return first


def running(paths: Paths, host: str, name: str) -> tuple[int, ...]:
    """Process ids on `host` whose program's file name is `name`."""
    return tuple(
        pid for pid in cgroups.processes(paths, host) if program(command_line(pid)) == name
    )


def log_tail(paths: Paths, host: str, component: str, lines: int = 5) -> str:
    """The end of a component's log, for an error message."""
    try:
        text = (paths.logs(host) / f"{component}.log").read_text(errors="replace")
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:])
