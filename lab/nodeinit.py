"""PID 1 of a node: mounts its file systems, starts its programs, reaps and restarts them.

Runs in new mount, pid, uts, ipc and cgroup namespaces; its death ends everything in them, as
a power-off would. Writes nothing to the machine's own /var, /etc, /opt and /run.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from outgate.lab import cgroups, syscalls, wait
from outgate.lab.cgroups import Hierarchy
from outgate.lab.errors import LabError
from outgate.lab.nodeplan import CONTAINERD_SOCKET, Component, NodePlan

JOIN_FILE = "join"  # appears once the cluster knows the node
RESTART_SECONDS = 0.3
# What the kubelet would set for the whole machine: it finds these files, and its wish in them.
_PRETENDED_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
_ON_DISK = {  # lasts over a power-off
    "kubelet": "/var/lib/kubelet",
    "containerd": "/var/lib/containerd",
    "cni": "/var/lib/cni",
    "pod-logs": "/var/log/pods",
    "container-logs": "/var/log/containers",
}


def main() -> NoReturn:
    """Boot the node whose plan is the first argument, and serve it for ever."""
    plan = NodePlan.from_json(Path(sys.argv[1]).read_text())
    hierarchies = cgroups.hierarchies()
    socket.sethostname(plan.hostname)
    mount_all(plan, hierarchies)
    os.environ["CONTAINERD_ADDRESS"] = CONTAINERD_SOCKET
    if plan.boot_nft:
        subprocess.run(["nft", "-f", "-"], input=plan.boot_nft, text=True, check=True)
    running = {start(plan, plan.containerd): plan.containerd}
    wait.until("containerd to listen", listens, timeout=60, interval=0.05)
    load_image(plan)
    say("containerd is up")
    wait.until(
        "the cluster to expect this node",
        Path(plan.run, JOIN_FILE).exists,
        timeout=180,
        interval=0.05,
    )
    running.update({start(plan, component): component for component in plan.components})
    supervise(plan, running)


def mount_all(plan: NodePlan, hierarchies: tuple[Hierarchy, ...]) -> None:
    """Give the node its own /proc, /sys, /run and disk; /var, /etc and /opt become overlays."""
    syscalls.mount("proc", "/proc", kind="proc")
    syscalls.mount("sysfs", "/sys", kind="sysfs")
    syscalls.mount("tmpfs", "/sys/fs/cgroup", kind="tmpfs", options="mode=755")
    for hierarchy in hierarchies:
        folder = Path("/sys/fs/cgroup", hierarchy.folder)
        folder.mkdir()
        syscalls.mount("cgroup", folder, kind="cgroup", options=hierarchy.option)

    # The new /run is prepared elsewhere, while the machine's /run is still to be seen.
    fresh = Path(plan.run, "run")
    fresh.mkdir(exist_ok=True)
    syscalls.mount("tmpfs", fresh, kind="tmpfs", options="mode=755")
    own, disk = fresh / plan.run.removeprefix("/run/"), fresh / "disk"
    for folder in (own, disk, fresh / "lock", fresh / "netns"):
        folder.mkdir(parents=True)
    syscalls.mount(plan.run, own, flags=syscalls.MS_BIND)
    syscalls.mount(plan.disk, disk, flags=syscalls.MS_BIND)
    syscalls.mount(fresh, "/run", flags=syscalls.MS_MOVE)
    Path("/run/resolv.conf").touch()

    for name in ("var", "etc", "opt"):
        upper, work = Path("/run/overlay", name, "upper"), Path("/run/overlay", name, "work")
        upper.mkdir(parents=True)
        work.mkdir()
        syscalls.mount(
            "overlay",
            f"/{name}",
            kind="overlay",
            options=f"lowerdir=/{name},upperdir={upper},workdir={work}",
        )
    for name, target in _ON_DISK.items():
        source = Path("/run/disk", name)
        source.mkdir(exist_ok=True)
        Path(target).mkdir(parents=True, exist_ok=True)
        syscalls.mount(source, target, flags=syscalls.MS_BIND)
    for key, value in _PRETENDED_SYSCTLS.items():
        pretended = Path("/run/sysctl", key)
        pretended.parent.mkdir(parents=True, exist_ok=True)
        pretended.write_text(f"{value}\n")
        syscalls.mount(pretended, Path("/proc/sys", key), flags=syscalls.MS_BIND)

    plugins = Path("/opt/cni/bin")
    plugins.mkdir(parents=True, exist_ok=True)
    for plugin in plan.cni_plugins:
        link = plugins / Path(plugin).name
        link.unlink(missing_ok=True)
        link.symlink_to(plugin)
    configurations = Path("/etc/cni/net.d")
    configurations.mkdir(parents=True, exist_ok=True)
    for left in configurations.iterdir():  # of the machine's own containerd, if it has one
        left.unlink()
    choose_iptables(plan.iptables)
    # the kubelet's and containerd's mounts must reach the containers
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SHARED)


def choose_iptables(backend: str) -> None:
    """What update-alternatives would do, in the node's own /etc."""
    for family in ("iptables", "ip6tables"):
        for command in ("", "-restore", "-save"):
            link = Path("/etc/alternatives", family + command)
            link.unlink(missing_ok=True)
            link.symlink_to(f"/usr/sbin/{family}-{backend}{command}")


def start(plan: NodePlan, component: Component) -> int:
    """Start a component, logging to its file; its process id."""
    with Path(plan.run, "logs", f"{component.name}.log").open("ab") as log:
        process = subprocess.Popen(
            component.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **component.environment},
            start_new_session=True,
        )
    process.returncode = 0  # reaped by `supervise`
    return process.pid


def listens() -> bool:
    """Whether containerd accepts connections."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(CONTAINERD_SOCKET)
        except OSError:
            return False
    return True


def load_image(plan: NodePlan) -> None:
    """Import the lab's image: no pod can start without the pause program."""
    result = subprocess.run(
        ["ctr", "-n", "k8s.io", "images", "import", plan.image],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise LabError(f"cannot import {plan.image}: {result.stderr.strip()}")


def supervise(plan: NodePlan, running: dict[int, Component]) -> NoReturn:
    """Reap every child; start components again; open the node for pods when flannel is there."""
    configuration = Path("/etc/cni/net.d/10-lab.conflist")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        if not configuration.exists() and (not plan.ready_file or Path(plan.ready_file).exists()):
            configuration.write_text(plan.cni_config)
            say("network is up")
        signal.sigtimedwait({signal.SIGCHLD}, 5.0 if configuration.exists() else 0.1)
        for pid, status in reaped():
            component = running.pop(pid, None)
            if component is not None:
                code = os.waitstatus_to_exitcode(status)
                say(f"{component.name} ended with {code}, starting it again")
                time.sleep(RESTART_SECONDS)  # a component that cannot start must not spin
                running[start(plan, component)] = component


def reaped() -> list[tuple[int, int]]:
    """The children that have ended, with their statuses."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))


def say(what: str) -> None:
    """A line in the node's own log."""
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


if __name__ == "__main__":
    main()
