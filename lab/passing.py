"""Faults that pass: each lasts as long as its block, and is taken back however the block ends.

Cables are cut in the lab's own namespaces (rules of the segment's bridge, the carrier of a port),
processes are found by the host's cgroup: nothing of the machine is touched. What was broken already
before a block stays broken after it. Not here: a stepped clock. Linux has no namespace for the wall
clock, and the one for the monotonic clock takes no changes once a process is in it.
"""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address

from outgate.lab import cgroups, controlplane, fabric, faults, processes, wait
from outgate.lab.errors import LabError
from outgate.lab.faults import Pair
from outgate.lab.lab import Lab
from outgate.lab.paths import Paths
from outgate.lab.topology import CONTROL_PLANE, Role, Topology

RESTART_SECONDS = 30.0
"""Within which the kubelet starts a killed container again: it looks every 10 s at the latest."""


class Kind(StrEnum):
    """What can go wrong, by the name that the command line has for it."""

    CUT_OFF = "cut-off"
    CUT_FROM_PEERS = "cut-from-peers"
    CUT_FROM_API = "cut-from-api"
    UNPLUGGED = "unplugged"
    DEAF = "deaf"
    MUTE = "mute"
    STOPPED = "stopped"
    KILLED = "killed"
    FROZEN = "frozen"
    API_STOPPED = "api-stopped"
    API_HUNG = "api-hung"
    UNTAUGHT = "untaught"
    UNROUTED = "unrouted"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: of which kind, on which host, of which program there (stopped, killed), on its way
    to which address outside (unrouted).
    """

    kind: Kind
    host: str = CONTROL_PLANE
    program: str = ""
    target: str = ""


@contextmanager
def happening(lab: Lab, fault: Fault) -> Iterator[None]:
    """The fault, for the time of the block. LabError if there is nothing that it could be of."""
    paths, topology, host = lab.paths, lab.topology, fault.host
    match fault.kind:
        case Kind.CUT_OFF | Kind.CUT_FROM_PEERS | Kind.CUT_FROM_API | Kind.DEAF | Kind.MUTE:
            with lost(paths, pairs(topology, fault.kind, host)):
                yield
        case Kind.UNPLUGGED:
            with unplugged(paths, topology, host):
                yield
        case Kind.STOPPED:
            with stopped(named(paths, host, fault.program)):
                yield
        case Kind.KILLED:
            with killed(paths, host, fault.program):
                yield
        case Kind.FROZEN:
            with frozen(paths, topology, host):
                yield
        case Kind.API_STOPPED:
            with api_stopped(lab):
                yield
        case Kind.API_HUNG:
            with stopped(named(paths, CONTROL_PLANE, controlplane.API_SERVER)):
                yield
        case Kind.UNTAUGHT:
            with untaught(paths, topology, host):
                yield
        case Kind.UNROUTED:
            with unrouted(paths, topology, host, fault.target):
                yield


def pairs(topology: Topology, kind: Kind, name: str) -> frozenset[Pair]:
    """The pairs (from, to) of the segment between which frames get lost by a fault of this kind.

    Peers are the other gateway nodes: with those, virtual IPs are shared.
    """
    if name not in {host.name for host in topology.lan_hosts}:
        raise LabError(f"{name} is not on the nodes' segment")
    others = {host.name: host.role for host in topology.lan_hosts if host.name != name}
    match kind:
        case Kind.CUT_FROM_PEERS:
            far = {other for other, role in others.items() if role is Role.GATEWAY}
        case Kind.CUT_FROM_API:
            far = {CONTROL_PLANE} & others.keys()
        case Kind.CUT_OFF | Kind.DEAF | Kind.MUTE:
            far = set(others)
        case _:
            raise LabError(f"{kind.value} loses no frames")
    heard = {(name, other) for other in far} if kind is not Kind.DEAF else set()
    hears = {(other, name) for other in far} if kind is not Kind.MUTE else set()
    return frozenset(heard | hears)


@contextmanager
def lost(paths: Paths, pairs: Iterable[Pair]) -> Iterator[None]:
    """Frames of these pairs get lost; the ports keep their carrier, so nobody is told."""
    cut = faults.cut(paths, pairs)
    try:
        yield
    finally:
        faults.mend(paths, cut)


@contextmanager
def unplugged(paths: Paths, topology: Topology, name: str) -> Iterator[None]:
    """A host's cable is pulled: its own interface sees that, and so does the switch."""
    host = topology.host(name)
    if host not in topology.lan_hosts:
        raise LabError(f"{name} is not on the nodes' segment")
    fabric.set_link(paths, host, up=False)
    try:
        yield
    finally:
        fabric.set_link(paths, host, up=True)


@contextmanager
def stopped(pids: Iterable[int]) -> Iterator[None]:
    """Processes that do nothing (SIGSTOP), while the kernel goes on for them."""
    chosen = tuple(pids)
    cgroups.send(chosen, signal.SIGSTOP)
    try:
        yield
    finally:
        cgroups.send(chosen, signal.SIGCONT)


@contextmanager
def killed(paths: Paths, host: str, program: str) -> Iterator[None]:
    """A pod's processes of that program are killed; ends when as many run again.

    The kubelet starts them meanwhile, a second or ten later: it does not wait for the block's end.
    """
    before = named(paths, host, program)
    cgroups.send(before, signal.SIGKILL)
    try:
        yield
    finally:
        wait.until(
            f"{program} to run again on {host}",
            lambda: len(set(processes.running(paths, host, program)) - {*before}) >= len(before),
            timeout=RESTART_SECONDS,
        )


@contextmanager
def frozen(paths: Paths, topology: Topology, name: str) -> Iterator[None]:
    """All processes of a host stand still; its kernel answers ARP and forwards as before."""
    faults.pause(paths, topology.host(name))
    try:
        yield
    finally:
        faults.resume(paths, topology.host(name))


@contextmanager
def api_stopped(lab: Lab) -> Iterator[None]:
    """The API server is killed; ends when it is ready again."""
    lab.stop_api()
    try:
        yield
    finally:
        lab.start_api()


@contextmanager
def untaught(paths: Paths, topology: Topology, name: str) -> Iterator[None]:
    """A host learns nothing from announcements, as some switches and routers are set."""
    faults.ignore_announcements(paths, topology.host(name))
    try:
        yield
    finally:
        faults.heed_announcements(paths, topology.host(name))


@contextmanager
def unrouted(paths: Paths, topology: Topology, name: str, target: str) -> Iterator[None]:
    """What a host sends to that address gets lost beyond the segment; all else arrives."""
    try:
        address = ip_address(target)
    except ValueError as error:
        raise LabError(f"the way to which address? {error}") from error
    faults.unroute(paths, topology.host(name), address)
    try:
        yield
    finally:
        faults.route(paths, topology.host(name), address)


def named(paths: Paths, host: str, program: str) -> tuple[int, ...]:
    """The processes of a program on a host; LabError if there is none."""
    found = processes.running(paths, host, program)
    if not found:
        raise LabError(f"no process {program!r} runs on {host}")
    return found
