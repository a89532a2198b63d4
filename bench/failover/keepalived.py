"""keepalived, as Debian has it: one virtual address between two gateway nodes, by VRRP."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address

from bench.failover.contestant import Address
from bench.failover.observer import How, Probe
from outgate.lab import Lab, LabError, cgroups, netns, passing, processes
from outgate.lab.passing import Kind
from outgate.lab.topology import OUTSIDE, Role

PACKAGE = "keepalived"


@dataclass(frozen=True, slots=True)
class Tuning:
    """interval: seconds between adverts (advert_int); version: of VRRP. Fractions of a second are
    version 3's alone (RFC 5798 §5.2.7).
    """

    interval: float
    version: int

    @property
    def take_over(self) -> float:
        """Seconds until a backup of priority 100 takes over: RFC 5798 §6.1, Master_Down_Interval;
        of version 2, RFC 3768 §6.1.
        """
        skew = (256 - 100) / 256 * (self.interval if self.version == 3 else 1)
        return 3 * self.interval + skew


DEFAULTS = Tuning(interval=1.0, version=2)
TUNED = Tuning(interval=0.1, version=3)
"""The same heartbeat as ours, and as many of them missed."""


def config(tuning: Tuning, *, router_id: int, priority: int, address: IPv4Address) -> str:
    """keepalived.conf(5). All that is not here is left at its default: preemption, the GARPs."""
    return f"""\
global_defs {{
  vrrp_version {tuning.version}
}}
vrrp_instance egress {{
  interface eth0
  virtual_router_id {router_id}
  priority {priority}
  advert_int {tuning.interval:g}
  virtual_ipaddress {{
    {address}/24
  }}
}}
"""


def install() -> None:
    """See that keepalived is there: from Debian, if need be."""
    if shutil.which(PACKAGE, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
        subprocess.run(["apt-get", "install", "-qq", "-y", PACKAGE], check=True)


class Keepalived:
    """The contestant. The node that is to hold the address has priority 150, others have 100."""

    def __init__(
        self, lab: Lab, name: str, tuning: Tuning, *, router_id: int, address: IPv4Address
    ) -> None:
        self.name = name
        self.address = address
        self.addresses: tuple[Address, ...] = (address,)
        self._lab = lab
        self._tuning = tuning
        self._router_id = router_id
        self._nodes = tuple(h.name for h in lab.topology.nodes if h.role is Role.GATEWAY)

    def start(self) -> None:
        """Install it; `place` starts it."""
        install()

    def stop(self) -> None:
        """Kill it everywhere, and take away what that leaves behind."""
        for node in self._nodes:
            cgroups.send(self._processes(node), signal.SIGKILL)
            self._lab.wait(
                f"{self.name} on {node} to end",
                lambda node=node: not self._processes(node),  # type: ignore[misc]
                interval=0.01,
            )
            device = f"{self.address}/24 dev eth0"
            namespace = self._lab.paths.netns_name(node)
            subprocess.run(
                ["ip", "-n", namespace, "address", "delete", *device.split()],
                stderr=subprocess.DEVNULL,
                check=False,
            )

    def data_path(self, address: Address) -> Probe:
        """Its address is one to be reached at: pinged from the outside host, by the router."""
        return Probe(How.PING, str(self._lab.paths.netns(OUTSIDE)), str(address))

    def leader(self, holder: str) -> str:
        """Anywhere: priorities say where."""
        return ""

    def place(self, node: str) -> None:
        """Start anew, this node first: it is master before the others look."""
        self.stop()
        self._spawn(node, priority=150)
        self._lab.wait(
            f"{self.name} on {node} to be master",
            lambda: f" {self.address}/" in self._addresses(node),
            timeout=3 * self._tuning.take_over + 5,
            interval=0.02,
        )
        for other in self._nodes:
            if other != node:
                self._spawn(other, priority=100)

    @contextmanager
    def struck(self, kind: Kind, node: str) -> Iterator[None]:
        """All its processes there; the next `place` starts killed ones."""
        pids = self._processes(node)
        if not pids:
            raise LabError(f"{self.name} does not run on {node}")
        if kind is Kind.KILLED:
            cgroups.send(pids, signal.SIGKILL)
            yield
            return
        with passing.stopped(pids):
            yield

    def _spawn(self, node: str, *, priority: int) -> None:
        folder = self._lab.paths.host(node) / self.name
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "keepalived.conf"
        file.write_text(
            config(self._tuning, router_id=self._router_id, priority=priority, address=self.address)
        )
        for left in folder.glob("*.pid"):
            left.unlink()
        processes.spawn(
            self._lab.paths,
            node,
            self.name,
            [
                shutil.which(PACKAGE) or f"/usr/sbin/{PACKAGE}",
                "--dont-fork",
                "--vrrp",
                "--log-console",
                f"--use-file={file}",
                f"--pid={folder}/main.pid",
                f"--vrrp_pid={folder}/vrrp.pid",
            ],
        )

    def _processes(self, node: str) -> tuple[int, ...]:
        file = str(self._lab.paths.host(node) / self.name / "keepalived.conf")
        return tuple(
            pid
            for pid in processes.running(self._lab.paths, node, PACKAGE)
            if f"--use-file={file}" in processes.command_line(pid) and processes.is_alive(pid)
        )

    def _addresses(self, node: str) -> str:
        argv = ["ip", "-o", "-4", "address", "show", "dev", "eth0"]
        return subprocess.run(
            netns.enter_argv(self._lab.paths.netns(node), argv),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
