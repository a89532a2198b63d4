"""How a lab is right now, read from the machine itself."""

import json
import subprocess
from dataclasses import dataclass

from outgate.lab import cgroups, lifecycle, node, processes
from outgate.lab.api import Api
from outgate.lab.paths import Paths
from outgate.lab.topology import CONTROL_PLANE, FABRIC, ROUTER, Host, Topology

CONTROL_PROGRAMS = frozenset(
    {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}
)


@dataclass(frozen=True, slots=True)
class HostStatus:
    """One host: `state` in a word or two, memory in bytes, `ready` as the API server says."""

    host: Host
    state: str
    processes: int
    resident: int
    first_process: int | None
    ready: bool | None


def collect(paths: Paths, topology: Topology, api: Api) -> tuple[HostStatus, ...]:
    """The state of every host; `ready` is unknown (None) while the API server is silent."""
    links_down = _links_down(paths)
    answers = not cgroups.is_frozen(paths, CONTROL_PLANE) and api.is_ready()
    return tuple(
        _host_status(paths, api if answers else None, host, links_down) for host in topology.hosts
    )


def _host_status(
    paths: Paths, api: Api | None, host: Host, links_down: frozenset[str]
) -> HostStatus:
    pids = cgroups.processes(paths, host.name)
    return HostStatus(
        host=host,
        state=_state(paths, host, pids, links_down),
        processes=len(pids),
        resident=sum(processes.resident_bytes(pid) for pid in pids),
        first_process=node.first_process(paths, host) if host.is_node else None,
        ready=not lifecycle.node_problem(api, host) if api and host.is_node else None,
    )


def _state(paths: Paths, host: Host, pids: tuple[int, ...], links_down: frozenset[str]) -> str:
    if host.is_node and node.first_process(paths, host) is None:
        return "off"
    if cgroups.is_frozen(paths, host.name):
        return "paused"
    if host.name == CONTROL_PLANE:
        running = {
            program for program in CONTROL_PROGRAMS if processes.running(paths, host.name, program)
        }
        missing = ", ".join(sorted(CONTROL_PROGRAMS - running))
        if missing:
            return f"no {missing}"
    elif host.name != ROUTER and not pids:
        return "stopped"
    return "link down" if host.name in links_down else "up"


def _links_down(paths: Paths) -> frozenset[str]:
    result = subprocess.run(
        ["ip", "-n", paths.netns_name(FABRIC), "-json", "link", "show"],
        capture_output=True,
        text=True,
        check=False,
    )
    links = json.loads(result.stdout or "[]")
    return frozenset(link["ifname"] for link in links if "UP" not in link["flags"])
