"""Making a lab and taking it away: the order of things, and the promise to leave nothing."""

import contextlib
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from outgate.lab import (
    build,
    cgroups,
    controlplane,
    fabric,
    netns,
    node,
    nodeconfig,
    pki,
    processes,
    realtime,
    wait,
)
from outgate.lab.api import Api, ApiUnavailable
from outgate.lab.build import Toolbox
from outgate.lab.errors import LabError
from outgate.lab.options import Options
from outgate.lab.paths import NETNS_ROOT, RUN_ROOT, Paths, make_folder
from outgate.lab.topology import OUTSIDE, Host, Topology, topology

Report = Callable[[str], None]
READY_SECONDS = 120.0


def up(options: Options, report: Report) -> bool:
    """Make a lab and wait until all its nodes are Ready; False if it was up already.

    A half-made lab of the same name (whose `up` was killed) is taken away first.
    """
    must_be_root()
    toolbox = build.toolbox(report)
    paths = Paths(options.name)
    with locked(paths):
        if paths.ready.exists():
            running = Options.from_json(paths.options.read_text())
            if running != options:
                raise LabError(
                    f"lab {options.name} is up with other options ({running}); take it down "
                    f"first: outgate-lab down --name {options.name}"
                )
            return False
        if remains(paths):
            report("taking away what an earlier lab of this name has left")
            sweep(paths)
        _make(paths, options, toolbox, _Clock(report))
    return True


def down(name: str) -> bool:
    """Take a lab away, whatever state it is in; False if nothing of it was there."""
    must_be_root()
    paths = Paths(name)
    if not remains(paths):
        return False
    with locked(paths):
        sweep(paths)
    return True


def names() -> tuple[str, ...]:
    """All labs of this machine, also broken ones."""
    runs = {entry.name for entry in RUN_ROOT.iterdir()} if RUN_ROOT.is_dir() else set()
    return tuple(sorted(runs | cgroups.names()))


def wait_nodes_ready(api: Api, nodes: tuple[Host, ...], *, timeout: float = READY_SECONDS) -> None:
    """Wait until the API server reports all `nodes` Ready and without its start-up taint."""
    waiting = ""

    def ready() -> bool:
        nonlocal waiting
        problems = {host.name: node_problem(api, host) for host in nodes}
        waiting = "; ".join(f"{name}: {problem}" for name, problem in problems.items() if problem)
        return not waiting

    wait.until(
        "the nodes to be Ready",
        ready,
        timeout=timeout,
        reason=lambda: f"{waiting} (see outgate-lab logs NODE)",
    )


def node_problem(api: Api, host: Host) -> str:
    """Why a node takes no pods, as the API server tells it; empty if it does take them."""
    try:
        object_ = api.get(f"/api/v1/nodes/{host.name}")
    except ApiUnavailable as error:
        return str(error)
    conditions = {c["type"]: c for c in object_["status"].get("conditions", ())}
    ready = conditions.get("Ready")
    if ready is None:
        return "its kubelet has not reported yet"
    if ready["status"] != "True":
        return str(ready["message"])
    taints = {taint["key"] for taint in object_["spec"].get("taints", ())}
    kept_off = sorted(taints & {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})
    return f"still has the taint {kept_off[0]}" if kept_off else ""


def start_node(paths: Paths, options: Options, shape: Topology, host: Host) -> None:
    """Power a killed node on again, with its disk as it was; returns before it is Ready."""
    if node.first_process(paths, host) is not None:
        raise LabError(f"{host.name} is on already")
    if paths.netns(host.name).exists():  # PID 1 died by other hands than ours
        kill_node(paths, host)
    toolbox = build.toolbox(lambda _: None)
    fabric.replace_node(paths, options, shape, host)
    node.boot(paths, host, nodeconfig.write_plan(paths, options, shape, toolbox, host))
    node.wait_booted(paths, host)


def kill_node(paths: Paths, host: Host) -> None:
    """Cut a node's power: silent on the wire at once, everything on it dead."""
    fabric.unplug(paths, host)
    cgroups.kill(paths, host.name)
    cgroups.remove(paths, host.name)


def must_be_root() -> None:
    """LabError unless this is root, who alone may make namespaces, mounts and cgroups."""
    if os.geteuid() != 0:
        raise LabError("the lab makes namespaces, mounts and cgroups: run it as root")


def remains(paths: Paths) -> list[str]:
    """What is there of a lab, in words; empty if nothing."""
    found = [str(folder) for folder in (paths.run, paths.disks) if folder.exists()]
    found += [str(namespace) for namespace in _namespaces(paths)]
    if paths.name in cgroups.names():
        found.append(f"cgroups of {paths.name}")
    return found


def sweep(paths: Paths) -> None:
    """Take away everything that carries the lab's name."""
    cgroups.kill(paths)
    for namespace in _namespaces(paths):
        netns.batch([f"netns delete {namespace.name}"])
    cgroups.remove(paths)
    disks = {paths.disks, paths.disks_link.resolve()} - {paths.disks_link}
    for folder in (*disks, paths.run):
        shutil.rmtree(folder, ignore_errors=True)
    for parent in (*(folder.parent for folder in disks), RUN_ROOT):
        with contextlib.suppress(OSError):  # other labs are in it, or it was never made
            parent.rmdir()
    realtime.restore(names)
    left = remains(paths)
    if left:
        raise LabError(f"could not take away: {', '.join(left)}")


@contextlib.contextmanager
def locked(paths: Paths) -> Iterator[None]:
    """One `up` or `down` of a lab at a time; LabError if another one runs."""
    # an abstract socket: held by a process, not by a file that somebody would have to remove
    with socket.socket(socket.AF_UNIX) as lock:
        try:
            lock.bind(f"\0outgate-lab/{paths.name}")
        except OSError as error:
            raise LabError(f"another command is making or removing lab {paths.name}") from error
        yield


class _Clock:
    """Reports each step with its seconds."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._last = time.monotonic()

    def done(self, step: str) -> None:
        now = time.monotonic()
        self._report(f"{step} ({now - self._last:.1f} s)")
        self._last = now


def _make(paths: Paths, options: Options, toolbox: Toolbox, clock: _Clock) -> None:
    """The slow things run side by side: nodes boot while the API server starts."""
    shape = topology(options)
    make_folder(paths.run)
    make_folder(paths.disks)
    paths.disks_link.symlink_to(paths.disks)
    paths.options.write_text(options.to_json())
    realtime.allow()
    fabric.create(paths, options, shape)
    pki.issue(paths, shape)
    clock.done("networks and certificates")
    controlplane.start_store(paths)
    controlplane.start_api(paths, shape, toolbox)
    start_outside(paths, shape)
    for host in shape.nodes:
        node.boot(paths, host, nodeconfig.write_plan(paths, options, shape, toolbox, host))
    api = Api(paths)
    controlplane.wait_ready(paths, api)
    clock.done("etcd and kube-apiserver")
    controlplane.register(api, shape)
    controlplane.start_controllers(paths, shape, toolbox)
    for host in shape.nodes:
        node.wait_booted(paths, host)
        node.join(paths, host)
    clock.done(f"{len(shape.nodes)} nodes launched")
    wait_nodes_ready(api, shape.nodes)
    clock.done("all nodes Ready")
    # pods made before it exists are refused
    wait.until(
        "the default service account",
        lambda: api.exists("/api/v1/namespaces/default/serviceaccounts/default"),
    )
    paths.ready.touch()


def start_outside(paths: Paths, shape: Topology) -> None:
    """Start the server on the outside host."""
    addresses = [str(interface.ip) for interface in shape.host(OUTSIDE).addresses]
    processes.spawn(
        paths,
        OUTSIDE,
        "outside",
        [sys.executable, "-m", "outgate.lab.outside", "--log", str(paths.outside_log), *addresses],
        environment={"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
    )


def _namespaces(paths: Paths) -> list[Path]:
    prefix = paths.netns_name("")
    return sorted(NETNS_ROOT.glob(f"{prefix}*")) if NETNS_ROOT.is_dir() else []
