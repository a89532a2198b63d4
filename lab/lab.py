"""A running lab as an object: what tests and the demo use, and the command line is made of.

Everything public is to be had from the package: `from outgate.lab import Lab, Options`.
"""

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

from outgate.lab import (
    build,
    capture,
    controlplane,
    faults,
    lifecycle,
    netns,
    node,
    pods,
    probe,
    programs,
    status,
    wait,
)
from outgate.lab.api import Api, Json
from outgate.lab.errors import LabError, LabTimeout
from outgate.lab.options import DEFAULT_NAME, Cni, Families, Iptables, Options, ProxyMode
from outgate.lab.paths import Paths
from outgate.lab.probe import PROBE_SECONDS, Answer, Flow, Protocol
from outgate.lab.topology import CONTROL_PLANE, Address, Host, Role, Topology, topology

__all__ = [
    "Answer",
    "Cni",
    "CommandFailed",
    "Families",
    "Flow",
    "Host",
    "Iptables",
    "Lab",
    "LabError",
    "LabTimeout",
    "Options",
    "Protocol",
    "ProxyMode",
    "Role",
    "Seen",
    "Topology",
]

T = TypeVar("T")
COMMAND_SECONDS = 60.0


class CommandFailed(LabError):
    """A program of the lab ended with an error; the message holds what it said."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One entry of the outside host's log."""

    time: float
    protocol: Protocol
    source: Address
    port: int
    destination: Address


class Lab:
    """A lab that is up. `Lab.up()` makes one, `Lab.open()` finds one."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.paths = Paths(options.name)
        self.topology = topology(options)
        self.api = Api(self.paths)

    @classmethod
    def up(
        cls, options: Options | None = None, *, report: Callable[[str], None] = lambda _: None
    ) -> "Lab":
        """Make a lab (or take the one that is up with these options); all nodes are Ready."""
        chosen = options or Options()
        lifecycle.up(chosen, report)
        return cls(chosen)

    @classmethod
    def open(cls, name: str = DEFAULT_NAME) -> "Lab":
        """The lab of that name; LabError, saying how to start it, if it is not up."""
        lifecycle.must_be_root()
        paths = Paths(name)
        if not paths.ready.exists():
            half = " (what is left of it: outgate-lab down)" if lifecycle.remains(paths) else ""
            raise LabError(f"lab {name} is not up{half}: outgate-lab up --name {name}")
        return cls(Options.from_json(paths.options.read_text()))

    def down(self) -> None:
        """Take the lab away."""
        lifecycle.down(self.options.name)

    def node(self, name: str) -> Host:
        """The node of that name; LabError lists the nodes."""
        return self.topology.node(name)

    def status(self) -> tuple[status.HostStatus, ...]:
        """The state of every host."""
        return status.collect(self.paths, self.topology, self.api)

    # Commands inside the lab

    def kubectl_argv(self, arguments: Sequence[str]) -> list[str]:
        """A command line for kubectl as the administrator."""
        return self._tool_argv(programs.KUBECTL, arguments)

    def helm_argv(self, arguments: Sequence[str]) -> list[str]:
        """A command line for helm as the administrator."""
        return self._tool_argv(programs.HELM_PROGRAM, arguments)

    def kubectl(self, *arguments: str, stdin: str = "", timeout: float = COMMAND_SECONDS) -> str:
        """What kubectl prints; CommandFailed if it fails."""
        return self._run(self.kubectl_argv(arguments), stdin=stdin, timeout=timeout)

    def kubectl_json(self, *arguments: str, timeout: float = COMMAND_SECONDS) -> Json:
        """What kubectl prints with `-o json`."""
        parsed: Json = json.loads(self.kubectl(*arguments, "-o", "json", timeout=timeout))
        return parsed

    def apply(self, manifest: str | Mapping[str, Any]) -> str:
        """Apply YAML text or one object."""
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        return self.kubectl("apply", "-f", "-", stdin=text)

    def helm(self, *arguments: str, timeout: float = 2 * COMMAND_SECONDS) -> str:
        """What helm prints; CommandFailed if it fails."""
        return self._run(self.helm_argv(arguments), timeout=timeout)

    def exec_argv(self, host: str, argv: Sequence[str]) -> list[str]:
        """A command line that runs `argv` on a host; on a node in all its namespaces."""
        found = self.topology.host(host)
        if found.is_node:
            return node.enter_argv(self.paths, found, argv)
        return netns.enter_argv(self.paths.netns(host), argv)

    def exec(self, host: str, *argv: str, stdin: str = "", timeout: float = COMMAND_SECONDS) -> str:
        """What a program prints on a host; CommandFailed if it fails."""
        return self._run(self.exec_argv(host, argv), stdin=stdin, timeout=timeout)

    def load_image(self, archive: Path) -> None:
        """Import an image archive into every node that is on."""
        if not archive.is_file():
            raise LabError(
                f"no image archive {archive}: make one with "
                f"buildah push IMAGE docker-archive:{archive}:NAME:TAG"
            )
        running = [host for host in self.topology.nodes if node.first_process(self.paths, host)]
        with ThreadPoolExecutor(max_workers=len(running) or 1) as pool:
            list(pool.map(lambda host: node.load_image(self.paths, host, archive), running))

    # What the network does

    def pod_netns(self, pod: str, namespace: str = "default") -> Path:
        """A running pod's network namespace, for `probe` and `netns`."""
        return pods.netns(self.paths, self.api, pod, namespace)

    @property
    def outside(self) -> Address:
        """The first address of the outside host."""
        return self.topology.host("outside").address

    def probe(
        self,
        pod: str,
        protocol: Protocol | str = Protocol.HTTP,
        destination: Address | str | None = None,
        *,
        namespace: str = "default",
        timeout: float = PROBE_SECONDS,
    ) -> Answer:
        """Ask the outside host from a pod; a falsy Answer if nothing comes back."""
        return probe.ask(
            self.pod_netns(pod, namespace),
            Protocol(protocol),
            self._destination(destination),
            timeout=timeout,
        )

    def flow(
        self,
        pod: str,
        destination: Address | str | None = None,
        *,
        namespace: str = "default",
        timeout: float = PROBE_SECONDS,
    ) -> Flow:
        """A TCP connection from a pod to the outside host that stays open."""
        return Flow(self.pod_netns(pod, namespace), self._destination(destination), timeout=timeout)

    def ping(
        self,
        pod: str,
        destination: Address | str | None = None,
        *,
        namespace: str = "default",
        timeout: float = PROBE_SECONDS,
    ) -> float | None:
        """Round-trip time of one ICMP echo from a pod in seconds; None if none came back."""
        return probe.ping(
            self.pod_netns(pod, namespace), self._destination(destination), timeout=timeout
        )

    def outside_log(self, *, since: float = 0.0) -> tuple[Seen, ...]:
        """What the outside host saw, oldest first, from a `time.time()` on."""
        if not self.paths.outside_log.exists():
            return ()
        entries = (json.loads(line) for line in self.paths.outside_log.read_text().splitlines())
        return tuple(
            Seen(
                entry["time"],
                Protocol(entry["proto"]),
                ip_address(entry["source"]),
                entry["port"],
                ip_address(entry["destination"]),
            )
            for entry in entries
            if entry["time"] >= since
        )

    def capture(
        self, segment: str, expression: str = "", *, file: Path | None = None, count: int = 0
    ) -> capture.Capture:
        """Listen to `lan`, `outside` or a host, from now until its end as a context manager."""
        target = file or self.paths.run / f"{segment}-{time.monotonic_ns()}.pcap"
        return capture.Capture(
            self.paths,
            self.topology,
            segment,
            target.absolute(),
            count=count,
            expression=expression,
        )

    def show(self, segment: str, expression: str = "", *, seconds: float, count: int = 0) -> None:
        """Print what passes on a segment, as it passes, to this process's own output."""
        capture.show(self.paths, self.topology, segment, expression, seconds=seconds, count=count)

    # Faults

    def kill_node(self, name: str) -> None:
        """Cut a node's power."""
        host = self.node(name)
        node.must_run(self.paths, host)
        lifecycle.kill_node(self.paths, host)

    def start_node(self, name: str, *, timeout: float = lifecycle.READY_SECONDS) -> None:
        """Power a node on and wait until its kubelet reports again (Ready may come sooner
        from an old report: this waits for a new one).
        """
        host = self.node(name)
        before = self._heartbeat(host)
        lifecycle.start_node(self.paths, self.options, self.topology, host)
        wait.until(f"{name} to report", lambda: self._heartbeat(host) != before, timeout=timeout)
        self.wait_nodes_ready(name, timeout=timeout)

    def wait_nodes_ready(self, *names: str, timeout: float = lifecycle.READY_SECONDS) -> None:
        """Wait until these nodes (default: all) are Ready."""
        hosts = tuple(self.node(name) for name in names) or self.topology.nodes
        lifecycle.wait_nodes_ready(self.api, hosts, timeout=timeout)

    def pause(self, host: str, *, process: str = "") -> int:
        """Freeze a host, or its processes with `process` in their command line; how many."""
        return faults.pause(self.paths, self.topology.host(host), process=process)

    def resume(self, host: str) -> None:
        """Let everything on a host run again."""
        faults.resume(self.paths, self.topology.host(host))

    def partition(self, first: str, second: str, *, one_way: bool = False) -> None:
        """Drop every frame between two hosts (one way: from first to second only)."""
        faults.partition(self.paths, self.topology, first, second, one_way=one_way)

    def cut_api(self, name: str) -> None:
        """Part a node from the control plane only."""
        faults.cut_api(self.paths, self.topology, name)

    def heal(self) -> None:
        """End all partitions."""
        faults.heal(self.paths)

    def partitions(self) -> tuple[tuple[str, str], ...]:
        """The pairs (from, to) between which frames are dropped."""
        return faults.partitions(self.paths)

    def set_link(self, host: str, *, up: bool) -> None:
        """Pull or plug a host's cable."""
        faults.set_link(self.paths, self.topology, host, up=up)

    def stop_api(self) -> None:
        """Kill the API server."""
        controlplane.stop_api(self.paths)

    def start_api(self) -> None:
        """Start the API server again and wait until it is ready."""
        if self.api.is_ready():
            raise LabError("the API server is running already")
        controlplane.start_api(self.paths, self.topology, build.toolbox(lambda _: None))
        controlplane.wait_ready(self.paths, self.api)

    @staticmethod
    def wait(
        what: str, attempt: Callable[[], T], *, timeout: float = 30.0, interval: float = 0.1
    ) -> T:
        """The first truthy value of `attempt`; LabTimeout after `timeout` seconds."""
        return wait.until(what, attempt, timeout=timeout, interval=interval)

    def _heartbeat(self, host: Host) -> str:
        conditions = self.api.get(f"/api/v1/nodes/{host.name}")["status"].get("conditions", ())
        return max((c.get("lastHeartbeatTime") or "" for c in conditions), default="")

    def _destination(self, given: Address | str | None) -> Address:
        return self.outside if given is None else ip_address(given)

    def _tool_argv(self, program: programs.GoProgram, arguments: Sequence[str]) -> list[str]:
        tool = build.toolbox(lambda _: None).path(program)
        home = self.paths.run / "home"  # helm and kubectl keep their caches in it
        return netns.enter_argv(
            self.paths.netns(CONTROL_PLANE),
            [
                "env",
                f"KUBECONFIG={self.paths.admin_kubeconfig}",
                f"HELM_CACHE_HOME={home}/cache",
                f"HELM_CONFIG_HOME={home}/config",
                f"HELM_DATA_HOME={home}/data",
                f"KUBECACHEDIR={home}/kubectl",
                str(tool),
                *arguments,
            ],
        )

    @staticmethod
    def _run(argv: list[str], *, stdin: str = "", timeout: float) -> str:
        what = " ".join(argv[argv.index("--") + 1 :])
        try:
            result = subprocess.run(
                argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(f"{what}: no end within {timeout:g} s") from error
        if result.returncode != 0:
            said = (result.stderr or result.stdout).strip()
            raise CommandFailed(f"{what} ended with {result.returncode}: {said}")
        return result.stdout
