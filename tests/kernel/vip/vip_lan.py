"""A real LAN for whole vip processes: namespaces as nodes on a bridge, and an outside host."""

import contextlib
import itertools
import json
import os
import subprocess
from pathlib import Path
from typing import Any, Protocol

from kernel.vip.processes import Vip

VIP4, VIP6 = "203.0.113.7", "2001:db8::7"
NODES = ("a", "b", "c", "d")
UNDERLAY = {host: f"203.0.113.{number}" for number, host in enumerate(NODES, start=1)}
OUT = "02:aa:00:00:00:05"
MACS = {host: f"02:aa:00:00:00:0{number}" for number, host in enumerate(NODES, start=1)}
PATIENT = {"interval": 0.3, "misses": 4, "lease": 1.0, "isolation": 2.5, "freshness": 1.2}
PATIENT |= {"withhold": 1.4, "probe": 0.3}
"""Options: a busy machine is no reason to let go. The defaults are the lab's matter."""
AWAY = """
apiVersion: v1
kind: Config
current-context: away
contexts: [{name: away, context: {cluster: away, user: away}}]
clusters: [{name: away, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: away, user: {token: none}}]
"""
_numbers = itertools.count()


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


class Lan:
    """Hosts on one bridge: nodes, and `out`, which is somebody else."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        tag = f"ogv{os.getpid() % 100000}x{next(_numbers)}"
        self.names = {host: f"{tag}{host}" for host in ("lan", *NODES, "out")}
        for name in self.names.values():
            run("ip", "netns", "add", name)
            stack.callback(run, "ip", "netns", "del", name)
        self.ip("lan", "link add br0 up type bridge mcast_snooping 0")
        for number, host in enumerate((*NODES, "out"), start=1):
            peer = f"netns {self.names[host]}"
            self.ip("lan", f"link add p{host} up type veth peer name eth0 {peer}")
            self.ip("lan", f"link set p{host} master br0")
            self.ip(host, "link set lo up")
            self.ip(host, f"link set eth0 address 02:aa:00:00:00:0{number} up")
            self.ip(host, f"addr add 203.0.113.{number}/24 dev eth0")
            self.ip(host, f"addr add 2001:db8::{number}/64 dev eth0 nodad")

    def second_segment(self, *hosts: str) -> None:
        """These hosts get a link `eth1` to a segment of its own, 198.51.100.0/24."""
        self.ip("lan", "link add br1 up type bridge mcast_snooping 0")
        for number, host in enumerate(hosts, start=1):
            self.ip("lan", f"link add q{host} type veth peer name eth1 netns {self.names[host]}")
            self.ip("lan", f"link set q{host} master br1 up")
            self.ip(host, f"link set eth1 address 02:bb:00:00:00:0{number} up")
            self.ip(host, f"addr add 198.51.100.{number}/24 dev eth1")

    def ip(self, host: str, command: str) -> str:
        return run("ip", "-n", self.names[host], *command.split())

    def exec(self, host: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.names[host], *command]

    def addresses(self, host: str) -> dict[str, Any]:
        (link,) = json.loads(self.ip(host, "-j addr show dev eth0"))
        return {entry["local"]: entry for entry in link["addr_info"]}

    def neighbour(self, address: str) -> str:
        found = json.loads(self.ip("out", f"-j neigh show to {address} dev eth0"))
        return str(found[0].get("lladdr", "")) if found else ""

    def holders(self, address: str) -> list[str]:
        return [host for host in NODES if address in self.addresses(host)]

    def answers(self, address: str) -> str:
        """The MAC that the outside gets when it asks; "" if nobody answers."""
        self.ip("out", f"neigh flush to {address} dev eth0")
        command = self.exec("out", "ping", "-c1", "-W1", address)  # not answered, but asked for
        subprocess.run(command, capture_output=True, timeout=10, check=False)
        return self.neighbour(address)

    def at(self, host: str, address: str) -> bool:
        """Whether that node has it, and only it, and answers for it."""
        return self.holders(address) == [host] and self.answers(address) == MACS[host]


class Clock:
    """A wall clock that can be stepped."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.step(0)

    def step(self, seconds: int) -> None:
        """From now on it is wrong by so much."""
        draft = self._file.with_name("clock.new")
        draft.write_text(str(seconds))
        draft.replace(self._file)

    def run(self) -> tuple[str, ...]:
        """How Python starts a vip process that sees this clock."""
        return (str(Path(__file__).with_name("wrong_clock.py")), str(self._file))


class Start(Protocol):
    """Starts a node's vip process, as often as it is wanted."""

    def __call__(self, host: str, *, clock: Clock | None = None) -> Vip: ...
