"""The lab's cgroups (v1): every process of a host is in them, and so can be found and killed.

Only folders below `outgate-lab/<name>` are ever written: nothing of the machine is moved.
"""

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from outgate.lab import wait
from outgate.lab.errors import LabError
from outgate.lab.paths import CGROUP_PARENT, CGROUP_ROOT, Paths, make_folder

FREEZER = "freezer"  # the hierarchy that decides who belongs to a host
VISITORS = "visitors"  # of `exec`, `kubectl` and the like: of the lab, but of no host

CPU_SHARES = 8192
"""Of all labs together; a process outside has 1024. A lab's hosts stand for machines of their own:
what else runs here, the tests themselves for one, must not slow them down as if it ran on each.
"""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted v1 hierarchy: its folder's name and the option that mounts it again."""

    folder: str
    option: str


def hierarchies(mounts: str | None = None) -> tuple[Hierarchy, ...]:
    """The v1 hierarchies of this machine, from /proc/mounts."""
    text = Path("/proc/self/mounts").read_text() if mounts is None else mounts
    found = []
    for line in text.splitlines():
        _, target, kind, options, *_ = line.split()
        folder = Path(target)
        if kind != "cgroup" or folder.parent != CGROUP_ROOT:
            continue
        controllers = [
            option
            for option in options.split(",")
            if option not in ("rw", "ro", "relatime", "nosuid", "nodev", "noexec", "xattr")
            and not option.startswith("release_agent")
        ]
        named = any(option.startswith("name=") for option in controllers)
        found.append(Hierarchy(folder.name, ",".join((["none"] if named else []) + controllers)))
    if FREEZER not in {hierarchy.folder for hierarchy in found}:
        raise LabError(
            "this machine has no cgroup v1 freezer hierarchy at /sys/fs/cgroup/freezer; "
            "the lab's nodes need cgroup v1 (boot with systemd.unified_cgroup_hierarchy=0)"
        )
    return tuple(found)


def create(paths: Paths, host: str) -> tuple[Path, ...]:
    """Make a host's cgroup in every hierarchy; the files that take a process id to join."""
    joins = []
    for hierarchy in hierarchies():
        folder = paths.cgroup(hierarchy.folder, host)
        make_folder(folder)
        if hierarchy.folder == "cpuset":
            _inherit_cpuset(folder)
        elif "cpu" in hierarchy.option.split(","):
            (CGROUP_ROOT / hierarchy.folder / CGROUP_PARENT / "cpu.shares").write_text(
                str(CPU_SHARES)
            )
        joins.append(folder / "cgroup.procs")
    return tuple(joins)


def join_as_visitor(paths: Paths) -> None:
    """Make this process one that `down` ends, though none that pausing its host would stop."""
    folder = paths.cgroup(FREEZER, VISITORS)
    folder.mkdir(exist_ok=True)
    (folder / "cgroup.procs").write_text("0")


def processes(paths: Paths, host: str = "") -> tuple[int, ...]:
    """Process ids (as this machine counts them) of a host, or of the whole lab."""
    return tuple(sorted(_members(paths.cgroup(FREEZER, host))))


def freeze(paths: Paths, host: str, *, frozen: bool) -> None:
    """Stop or resume every process of a host at once."""
    state = "FROZEN" if frozen else "THAWED"
    file = paths.cgroup(FREEZER, host) / "freezer.state"
    file.write_text(state)
    wait.until(f"{host} to be {state}", lambda: file.read_text().strip() == state, timeout=10)


def is_frozen(paths: Paths, host: str) -> bool:
    """Whether `freeze` holds a host."""
    try:
        return (paths.cgroup(FREEZER, host) / "freezer.state").read_text().strip() != "THAWED"
    except FileNotFoundError:
        return False


def kill(paths: Paths, host: str = "") -> None:
    """SIGKILL everything of a host (or the lab) until nothing is left."""
    root = paths.cgroup(FREEZER, host)
    killed: set[int] = set()

    def empty() -> bool:
        for folder in _tree(root):  # a frozen process would not die before it thaws
            state = folder / "freezer.state"
            if state.exists() and state.read_text().strip() != "THAWED":
                state.write_text("THAWED")
        members = set(_members(root))
        killed.update(members)
        send(members, signal.SIGKILL)
        return not members

    wait.until(
        f"the processes of {host or paths.name} to die",
        empty,
        timeout=20,
        interval=0.05,
        reason=lambda: f"still there: {sorted(_members(root))}",
    )
    reap(killed)


def remove(paths: Paths, host: str = "") -> None:
    """Delete the (empty) cgroups of a host or of the lab, and the parent if nothing uses it."""
    for hierarchy in _folders():
        root = paths.cgroup(hierarchy, host)
        for folder in reversed(list(_tree(root))):
            _rmdir_when_free(folder)
        if not host:
            with contextlib.suppress(OSError):  # other labs are in it, or it was never made
                (CGROUP_ROOT / hierarchy / CGROUP_PARENT).rmdir()


def names() -> frozenset[str]:
    """The labs that have cgroups."""
    found: set[str] = set()
    for hierarchy in _folders():
        parent = CGROUP_ROOT / hierarchy / CGROUP_PARENT
        if parent.is_dir():
            found.update(entry.name for entry in parent.iterdir() if entry.is_dir())
    return frozenset(found)


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal processes that may be gone by now."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def reap(pids: Iterable[int]) -> None:
    """Take the status of those that were children of this process: else they stay as zombies."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _folders() -> tuple[str, ...]:
    return tuple(entry.name for entry in CGROUP_ROOT.iterdir() if entry.is_dir())


def _members(root: Path) -> Iterator[int]:
    for folder in _tree(root):
        try:
            text = (folder / "cgroup.procs").read_text()
        except OSError:  # removed meanwhile (ENOENT, ENODEV)
            continue
        yield from (int(line) for line in text.split())


def _tree(root: Path) -> Iterator[Path]:
    """`root` and all folders below it, parents first."""
    if root.is_dir():
        for folder, _, _ in os.walk(root):
            yield Path(folder)


def _rmdir_when_free(folder: Path) -> None:
    """The kernel lets go of a dead process a moment after it is no longer listed."""

    def gone() -> bool:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    wait.until(f"{folder} to be free", gone, timeout=5, interval=0.05)


def _inherit_cpuset(folder: Path) -> None:
    """A new cpuset is empty, and takes no process before it has CPUs and memory."""
    top = CGROUP_ROOT / "cpuset"
    chain = [folder, *folder.parents]
    for level in reversed(chain[: chain.index(top)]):
        for name in ("cpuset.cpus", "cpuset.mems"):
            if not (level / name).read_text().strip():
                (level / name).write_text((level.parent / name).read_text())
