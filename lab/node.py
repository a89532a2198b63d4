"""A node as a machine: power on, power off, and what runs on it, seen from the lab."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from outgate.lab import cgroups, processes, wait
from outgate.lab.errors import LabError
from outgate.lab.nodeinit import JOIN_FILE
from outgate.lab.paths import Paths
from outgate.lab.topology import Host

CONTAINERD_NAMESPACE = "k8s.io"


def boot(paths: Paths, node: Host, plan: Path) -> None:
    """Start a node's first process; containerd comes up, the rest waits for `join`."""
    paths.disk(node.name).mkdir(parents=True, exist_ok=True)
    processes.spawn(
        paths,
        node.name,
        "node",
        [
            # slave: the machine's mounts reach the node, never the other way round
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--uts",
            "--ipc",
            "--cgroup",
            "--propagation",
            "slave",
            sys.executable,
            "-m",
            "outgate.lab.nodeinit",
            str(plan),
        ],
        environment={
            "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
            "PATH": _path_with_sbin(),
        },
    )


def join(paths: Paths, node: Host) -> None:
    """Let a booted node start its kubelet: the cluster has a Node object for it."""
    (paths.host(node.name) / JOIN_FILE).touch()


def first_process(paths: Paths, node: Host) -> int | None:
    """The node's PID 1 as this machine numbers it; None if the node is off."""
    for pid in cgroups.processes(paths, node.name):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        # depth 2 from here and first there: containers' own first processes are deeper
        numbers = fields["NSpid"].split()
        if len(numbers) == 2 and numbers[1] == "1" and "Z" not in fields["State"]:
            return pid
    return None


def must_run(paths: Paths, node: Host) -> int:
    """The node's PID 1; LabError if it is off."""
    pid = first_process(paths, node)
    if pid is None:
        raise LabError(f"{node.name} is off; outgate-lab start-node {node.name} starts it")
    return pid


def power_off(paths: Paths, node: Host) -> None:
    """Kill PID 1, with which everything on the node dies at once."""
    os.kill(must_run(paths, node), signal.SIGKILL)
    cgroups.kill(paths, node.name)
    cgroups.remove(paths, node.name)


def enter_argv(paths: Paths, node: Host, argv: Sequence[str]) -> list[str]:
    """A command line that runs `argv` on the node, in all its namespaces."""
    return [
        "nsenter",
        f"--target={must_run(paths, node)}",
        "--mount",
        "--uts",
        "--ipc",
        "--net",
        "--pid",
        "--cgroup",
        "--",
        "env",
        f"PATH={_path_with_sbin()}",
        f"CONTAINERD_NAMESPACE={CONTAINERD_NAMESPACE}",
        *argv,
    ]


def load_image(paths: Paths, node: Host, archive: Path) -> None:
    """Import a docker or OCI archive into the node's containerd."""
    with archive.open("rb") as image:
        result = subprocess.run(
            enter_argv(paths, node, ["ctr", "images", "import", "-"]),
            stdin=image,
            capture_output=True,
            text=True,
            check=False,
        )
    if result.returncode != 0:
        raise LabError(f"{node.name} refused the image {archive}: {result.stderr.strip()}")


def wait_booted(paths: Paths, node: Host, *, timeout: float = 60.0) -> None:
    """Wait for the node's PID 1; LabError with its log if it ended."""

    def booted() -> bool:
        if not cgroups.processes(paths, node.name):
            raise LabError(
                f"{node.name} ended while booting:\n" + processes.log_tail(paths, node.name, "node")
            )
        return first_process(paths, node) is not None

    wait.until(f"{node.name} to boot", booted, timeout=timeout, interval=0.02)


def _path_with_sbin() -> str:
    folders = os.environ.get("PATH", "/usr/bin:/bin").split(os.pathsep)
    missing = [folder for folder in ("/usr/sbin", "/sbin") if folder not in folders]
    return os.pathsep.join([*folders, *missing])
