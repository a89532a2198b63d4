"""Namespaces for kernel tests: a pod, its node, two gateway nodes, a LAN and the outside.

    pod ── worker ──┐            ┌── outside (203.0.113.10, 2001:db8:f::10)
    pod ── first  ──┼─ lan (br0) ┤
    pod ── second ──┘            └── stranger, made by the test that needs one

The outside knows the LAN and the egress addresses, but no route to pods: what leaves untranslated
gets no answer. Each node masquerades what its pods send elsewhere, as a CNI does.
"""

import ctypes
import itertools
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TypeVar

from outgate.api.view import IPAddress

T = TypeVar("T")

PATIENCE = 3.0
"""Seconds for what has to come."""

BRIEF = 0.4
"""Seconds for what must not come."""

NODES = ("worker", "first", "second")
OUTSIDE4 = IPv4Address("203.0.113.10")
OUTSIDE6 = IPv6Address("2001:db8:f::10")

_numbers = itertools.count(1)
_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


def node_address(node: str, version: int) -> IPAddress:
    number = NODES.index(node) + 1
    return ip_address(f"192.0.2.{number}" if version == 4 else f"2001:db8:1::{number}")


def pod_address(node: str, version: int) -> IPAddress:
    number = NODES.index(node) + 1
    return ip_address(f"10.244.{number}.5" if version == 4 else f"2001:db8:a{number}::5")


class Namespace:
    """A network namespace with a name of its own, until `delete`."""

    def __init__(self, role: str) -> None:
        self.name = f"og{os.getpid()}-{next(_numbers)}-{role}"
        self.role = role
        self.path = Path("/run/netns", self.name)
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.ip("link set lo up")

    def delete(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=False)

    def ip(self, *commands: str) -> None:
        """Run `ip` commands, all in one process."""
        script = "".join(f"{command}\n" for command in commands)
        subprocess.run(["ip", "-n", self.name, "-batch", "-"], input=script, text=True, check=True)

    def run(self, command: str, *, script: str | None = None, check: bool = True) -> str:
        """The output of a command that runs inside."""
        result = subprocess.run(
            ["nsenter", f"--net={self.path}", "--", *command.split()],
            input=script,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or result.returncode == 0, f"{self.role}: {command}: {result.stderr}"
        return result.stdout

    def inside(self, action: Callable[[], T]) -> T:
        """Run `action` in a thread that lives here."""
        results: list[T] = []
        failures: list[BaseException] = []

        def enter() -> None:
            try:
                with self.path.open() as namespace:
                    if _libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), f"setns {self.name}")
                results.append(action())
            except BaseException as error:  # handed to the test
                failures.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]
        return results[0]

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        made = self.inside(lambda: socket.socket(family, kind, protocol))
        made.settimeout(PATIENCE)
        return made

    def sysctl(self, values: Mapping[str, int]) -> None:
        """Set `net.*` values; keys with slashes, below /proc/sys/net."""

        def write() -> None:
            for key, value in values.items():
                Path("/proc/sys/net", key).write_text(str(value))

        self.inside(write)

    def state(self) -> dict[str, str]:
        """All that Outgate might leave behind, as the tools show it."""
        commands = (
            "nft -s list ruleset",
            "ip -4 rule",
            "ip -6 rule",
            "ip -4 route show table all",
            "ip -6 route show table all",
            "ip -d -o link",
            "ip -o addr",
            "ip neigh show nud permanent",
            "bridge fdb",
        )
        return {command: self.run(command) for command in commands}


class Topology:
    """The namespaces of one test and the wires between them."""

    def __init__(self) -> None:
        self._all: list[Namespace] = []
        self.nodes: dict[str, Namespace] = {}
        self.pods: dict[str, Namespace] = {}
        try:
            self._build()
        except BaseException:
            self.delete()
            raise

    def _make(self, role: str) -> Namespace:
        namespace = Namespace(role)
        self._all.append(namespace)
        return namespace

    def _build(self) -> None:
        self.lan = self._make("lan")
        self.lan.ip("link add br0 type bridge", "link set br0 up")
        self.outside = self._make("outside")
        self._plug(self.outside, ["203.0.113.10/24", "2001:db8:f::10/64"])
        self.outside.ip(
            "route add 192.0.2.0/24 dev eth0",
            "route add 198.51.100.0/24 dev eth0",
            "route add 2001:db8:1::/64 dev eth0",
            "route add 2001:db8:e::/64 dev eth0",
        )
        for node in NODES:
            self._add_node(node)

    def delete(self) -> None:
        for namespace in reversed(self._all):
            namespace.delete()

    def stranger(self, addresses: Iterable[str]) -> Namespace:
        """One more host on the LAN."""
        namespace = self._make("stranger")
        self._plug(namespace, addresses)
        return namespace

    def _plug(self, namespace: Namespace, addresses: Iterable[str]) -> None:
        port = f"p{next(_numbers)}"
        namespace.sysctl({"ipv6/conf/default/accept_dad": 0, "ipv6/conf/default/accept_ra": 0})
        self.lan.ip(
            f"link add {port} type veth peer name eth0 netns {namespace.name}",
            f"link set {port} master br0 up",
        )
        _up(namespace, "eth0", addresses)

    def _add_node(self, node: str) -> None:
        namespace = self.nodes[node] = self._make(node)
        pod = self.pods[node] = self._make(f"{node}pod")
        self._plug(namespace, [f"{node_address(node, 4)}/24", f"{node_address(node, 6)}/64"])
        pod.sysctl({"ipv6/conf/default/accept_dad": 0, "ipv6/conf/default/accept_ra": 0})
        namespace.ip(f"link add pod0 type veth peer name eth0 netns {pod.name}")
        v4, v6 = pod_address(node, 4), pod_address(node, 6)
        _up(pod, "eth0", [f"{v4}/24", f"{v6}/64"])
        _up(namespace, "pod0", [f"{v4 - 4}/24", f"{v6 - 4}/64"])
        pod.ip(f"route add default via {v4 - 4}", f"route add default via {v6 - 4}")
        namespace.ip(
            "route add 203.0.113.0/24 dev eth0",
            "route add 2001:db8:f::/64 dev eth0",
            f"route add default via {OUTSIDE4}",
            f"route add default via {OUTSIDE6}",
        )
        namespace.sysctl({"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1})
        namespace.run("nft -f -", script=_MASQUERADE)


def _up(namespace: Namespace, device: str, addresses: Iterable[str]) -> None:
    namespace.ip(
        f"link set {device} up",
        *(
            f"addr add {address} dev {device}{' nodad' if ':' in address else ''}"
            for address in addresses
        ),
    )


_MASQUERADE = """
table inet cni {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 masquerade
    ip6 saddr 2001:db8:a0::/44 ip6 daddr != 2001:db8:a0::/44 masquerade
  }
}
"""
