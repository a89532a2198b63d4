"""A LAN of vip processes beside a real API server: namespaces on a bridge in the server's own."""

import itertools
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from apiserver.harness import SERVICE, TOKEN, ApiServer
from kernel.vip.processes import Vip, some_keys

ROUTER = "203.0.113.250"
_numbers = itertools.count()


class VipLan:
    """Nodes, each of which can have a vip process; within `vip_lan`."""

    def __init__(
        self, server: ApiServer, folder: Path, stack: ExitStack, *, nodes: tuple[str, ...]
    ) -> None:
        self._folder, self._stack = folder, stack
        tag = f"og{os.getpid()}-lan{next(_numbers)}"
        self.nodes = nodes
        self.mesh = {node: f"203.0.113.{number}" for number, node in enumerate(nodes, start=1)}
        self._names = {node: f"{tag}{node}" for node in nodes}
        self._keys = some_keys(folder)
        self._kubeconfig = server.kubeconfig_with(token=TOKEN, server=f"https://{SERVICE}:6443")
        self._at_server = server.namespace
        self._ip(server.namespace, "link add br0 up type bridge mcast_snooping 0")
        stack.callback(self._ip, server.namespace, "link del br0")
        self._ip(server.namespace, f"addr add {ROUTER}/24 dev br0")
        self._ip(server.namespace, f"addr add {SERVICE}/32 dev br0")
        for node in nodes:
            self._attach(node)

    def _attach(self, node: str) -> None:
        name = self._names[node]
        subprocess.run(["ip", "netns", "add", name], check=True)
        self._stack.callback(subprocess.run, ["ip", "netns", "del", name], check=True)
        port = f"p{self.nodes.index(node)}"
        self._ip(self._at_server, f"link add {port} up master br0 type veth peer eth0 netns {name}")
        self._ip(name, "link set lo up")
        self._ip(name, "link set eth0 up")
        self._ip(name, f"addr add {self.mesh[node]}/24 dev eth0")
        self._ip(name, f"route add {SERVICE} via {ROUTER}")

    def start(self, node: str, **options: object) -> Vip:
        """Its vip process, with these options; the API server's namespace is `outgate`."""
        folder = self._folder / node
        folder.mkdir(exist_ok=True)
        given = {"keys": self._keys, "kubeconfig": self._kubeconfig, **options}
        enter = ("ip", "netns", "exec", self._names[node])
        vip = Vip(enter, node, folder, mesh=self.mesh, options=given)
        self._stack.callback(vip.end, signal.SIGKILL)
        return vip

    def addresses(self, node: str) -> set[str]:
        """What is on the node's link."""
        (link,) = json.loads(self._ip(self._names[node], "-j addr show dev eth0"))
        return {entry["local"] for entry in link["addr_info"]}

    def _ip(self, namespace: str, command: str) -> str:
        arguments = ["ip", "-n", namespace, *command.split()]
        return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


@contextmanager
def vip_lan(server: ApiServer, folder: Path, *, nodes: tuple[str, ...]) -> Iterator[VipLan]:
    """A LAN with these nodes; it is gone at the end, with their processes."""
    with ExitStack() as stack:
        yield VipLan(server, folder, stack, nodes=nodes)
