"""CNIs and kube-proxies as they are on a node: their devices, routes, sysctls and rules.

What stands in `data/` was seen on real nodes. Nothing of them runs here but what they wrote, and
Felix's habit of inserting its jumps again.
"""

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import ndiff
from pathlib import Path
from string import Template
from typing import Literal

from kernel.cluster import EGRESS6
from kernel.harness import NODES, Namespace, Topology, node_address, pod_address

Tables = Literal["nft", "legacy"]
Backend = Literal["vxlan", "host-gw"]
KubeProxy = Literal["iptables", "nftables"]

CALI = "calief426310a2a"
"""The name of every node's pod device in Calico's rules."""

REINSERTION = 0.2
"""Seconds between two insertions of Felix's jumps; the real one checks every 20 s or more."""

_DATA = Path(__file__).parent / "data"
_CLUSTER = {4: "10.244.0.0/16", 6: "2001:db8:a0::/44"}
_MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}


@dataclass(frozen=True, slots=True)
class Iptables:
    """The commands of one back end, in both families."""

    tables: Tables = "nft"

    def restore(self, node: Namespace, name: str, *, version: int) -> None:
        """Add what the file in `data/` says to what is there."""
        number = NODES.index(node.role) + 1
        own = f"10.244.{number}.0/24" if version == 4 else f"2001:db8:a{number}::/64"
        script = Template((_DATA / name).read_text()).substitute(
            cluster=_CLUSTER[version], multicast=_MULTICAST[version], own=own
        )
        self.feed(node, script, version=version)

    def feed(self, node: Namespace, script: str, *, version: int) -> None:
        node.run(f"{self._command(version)}-restore --noflush", script=script)

    def forward_policy(self, node: Namespace, policy: Literal["ACCEPT", "DROP"]) -> None:
        for version in (4, 6):
            node.run(f"{self._command(version)} -P FORWARD {policy}")

    def saved(self, node: Namespace, *, version: int) -> str:
        """All rules, without dates and counters."""
        text = node.run(f"{self._command(version)}-save")
        lines = (line for line in text.splitlines() if not line.startswith("#"))
        return re.sub(r"\[\d+:\d+\]", "", "\n".join(lines))

    def _command(self, version: int) -> str:
        return f"ip{'6' if version == 6 else ''}tables-{self.tables}"


def calico(
    topology: Topology,
    iptables: Iptables,
    *,
    kube_proxy: KubeProxy | Literal[False] = "iptables",
    routes: bool = True,
) -> None:
    """Calico's iptables data plane on every node, and the pods as it wires them.

    Without `routes`, nodes know no pods of other nodes, as with no encapsulation and BGP elsewhere.
    """
    for node in topology.nodes.values():
        _without_harness_masquerade(node)
        _calico_devices(topology, node)
        if routes:
            for peer in NODES:
                if peer != node.role:
                    node.ip(*_routes_to(peer, "host-gw"))
        node.run("ipset restore", script=(_DATA / "calico.ipset").read_text())
        if kube_proxy == "iptables":
            kube_proxy_iptables(node, iptables)
        elif kube_proxy == "nftables":
            kube_proxy_nftables(node)
        iptables.restore(node, "calico.rules", version=4)
        iptables.restore(node, "calico6.rules", version=6)
        strict_reverse_path(node)


def flannel(topology: Topology, iptables: Iptables | None, *, backend: Backend) -> None:
    """Flannel's routes and rules, in nftables mode if there is no iptables."""
    for node in topology.nodes.values():
        _without_harness_masquerade(node)
        bridge(topology, node)
        if backend == "vxlan":
            _flannel_vxlan(node)
        for peer in NODES:
            if peer != node.role:
                node.ip(*_routes_to(peer, backend))
        for version, family in ((4, "ipv4"), (6, "ipv6")):
            if iptables:
                iptables.restore(node, "flannel.rules", version=version)
                continue
            number = NODES.index(node.role) + 1
            own = f"10.244.{number}.0/24" if version == 4 else f"2001:db8:a{number}::/64"
            node.run(
                "nft -f -",
                script=Template((_DATA / "flannel.nft").read_text()).substitute(
                    ip="ip" if version == 4 else "ip6",
                    family=family,
                    cluster=_CLUSTER[version],
                    multicast=_MULTICAST[version],
                    own=own,
                ),
            )
        strict_reverse_path(node)


def bridge(topology: Topology, node: Namespace) -> None:
    """The pod's device becomes a port of `cni0`, which takes its addresses over."""
    v4, v6 = (pod_address(node.role, version) - 4 for version in (4, 6))
    node.ip(
        "link add cni0 type bridge",
        "addr flush dev pod0",
        "link set pod0 master cni0",
        f"addr add {v4}/24 dev cni0",
        f"addr add {v6}/64 dev cni0 nodad",
        "link set cni0 up",
    )
    topology.pods[node.role].run("ip neigh flush dev eth0")


def kube_proxy_iptables(node: Namespace, iptables: Iptables) -> None:
    """Its rules, with the drop of what conntrack calls invalid."""
    iptables.restore(node, "kube-proxy.rules", version=4)
    iptables.restore(node, "kube-proxy6.rules", version=6)


def kube_proxy_nftables(node: Namespace) -> None:
    """Its table."""
    node.run("nft -f -", script=(_DATA / "kube-proxy.nft").read_text())


def strict_reverse_path(node: Namespace) -> None:
    """On every device there is, and on those to come unless their owner says otherwise."""
    names = node.run("ls /proc/sys/net/ipv4/conf").split()
    node.sysctl({f"ipv4/conf/{name}/rp_filter": 1 for name in names if name != "outgate"})


@contextmanager
def felix(topology: Topology, iptables: Iptables) -> Iterator[None]:
    """Inserts its jumps as first rules, again and again, as long as the context lasts."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def insert() -> None:
        try:
            while not stop.wait(REINSERTION):
                for node in topology.nodes.values():
                    for version, name in ((4, "calico.rules"), (6, "calico6.rules")):
                        iptables.feed(node, _jumps_again(name), version=version)
        except BaseException as error:  # handed to the test
            failures.append(error)

    thread = threading.Thread(target=insert, name="felix")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]


def state(node: Namespace, iptables: Iptables) -> dict[str, str]:
    """All that belongs to others: rules, sets, main routes, ip rules, sysctls."""
    tables = sorted(
        line for line in node.run("nft list tables").splitlines() if not line.endswith(" outgate")
    )
    found = {line: node.run(f"nft -s list {line}") for line in tables}
    for version in (4, 6):
        found[f"iptables {version}"] = iptables.saved(node, version=version)
        routes = node.run(f"ip -{version} route show table main").splitlines()
        # An IPv6 address of Outgate brings a route to itself along: not somebody else's.
        ours = (" dev outgate ", f"{EGRESS6} ")
        found[f"routes {version}"] = "\n".join(
            sorted(line for line in routes if not any(each in line for each in ours))
        )
        rules = node.run(f"ip -{version} rule").splitlines()
        found[f"ip rules {version}"] = "\n".join(line for line in rules if "proto 178" not in line)
    found["sets"] = "\n".join(sorted(node.run("ipset save").splitlines()))
    sysctls = node.run(r"sysctl -a --ignore --pattern ^net\.(ipv4|ipv6|core)\.").splitlines()
    found["sysctls"] = "\n".join(line for line in sysctls if ".outgate." not in line)
    return found


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The lines that were there only before (-) or are there only after (+)."""
    return [
        f"{line[0]} {name}: {line[2:]}"
        for name in sorted({*before, *after})
        for line in ndiff(before.get(name, "").splitlines(), after.get(name, "").splitlines())
        if line[0] in "-+"
    ]


def _without_harness_masquerade(node: Namespace) -> None:
    node.run("nft delete table inet cni")


def _calico_devices(topology: Topology, node: Namespace) -> None:
    pod = topology.pods[node.role]
    v4, v6 = pod_address(node.role, 4), pod_address(node.role, 6)
    node.ip(
        "link set pod0 down",
        f"link set pod0 name {CALI} address ee:ee:ee:ee:ee:ee",
        f"addr flush dev {CALI}",
        f"link set {CALI} up",
        f"addr replace fe80::ecee:eeff:feee:eeee/64 dev {CALI} nodad",
        f"route add {v4} dev {CALI} scope link",
        f"route add {v6} dev {CALI}",
    )
    node.sysctl(
        {
            f"ipv4/conf/{CALI}/proxy_arp": 1,
            f"ipv4/conf/{CALI}/forwarding": 1,
            f"ipv4/conf/{CALI}/route_localnet": 1,
            f"ipv6/conf/{CALI}/proxy_ndp": 1,
            f"ipv4/neigh/{CALI}/proxy_delay": 0,
        }
    )
    pod.ip(
        "addr flush dev eth0 scope global",
        f"addr add {v4}/32 dev eth0",
        f"addr add {v6}/128 dev eth0 nodad",
        "route add 169.254.1.1 dev eth0 scope link",
        "route replace default via 169.254.1.1 dev eth0",
        "route replace default via fe80::ecee:eeff:feee:eeee dev eth0",
    )
    pod.run("ip neigh flush dev eth0")


def _flannel_vxlan(node: Namespace) -> None:
    number = NODES.index(node.role) + 1
    node.ip(
        f"link add flannel.1 address {_vtep_mac(node.role)} type vxlan id 1 dev eth0"
        f" local {node_address(node.role, 4)} dstport 8472 nolearning",
        f"addr add 10.244.{number}.0/32 dev flannel.1",
        f"addr add 2001:db8:a{number}::/128 dev flannel.1 nodad",
        "link set flannel.1 mtu 1450 up",
    )
    for peer in NODES:
        if peer != node.role:
            for network in (_network(peer, 4), _network(peer, 6)):
                node.ip(
                    f"neigh add {network.partition('/')[0]} lladdr {_vtep_mac(peer)}"
                    " nud permanent dev flannel.1"
                )
            node.run(
                f"bridge fdb append {_vtep_mac(peer)} dev flannel.1 dst {node_address(peer, 4)}"
            )


def _routes_to(peer: str, backend: Backend) -> Iterator[str]:
    for version in (4, 6):
        network = _network(peer, version)
        if backend == "vxlan":
            yield f"route add {network} via {network.partition('/')[0]} dev flannel.1 onlink"
        else:
            yield f"route add {network} via {node_address(peer, version)} dev eth0"


def _network(node: str, version: int) -> str:
    number = NODES.index(node) + 1
    return f"10.244.{number}.0/24" if version == 4 else f"2001:db8:a{number}::/64"


def _vtep_mac(node: str) -> str:
    return f"02:f1:00:00:00:{NODES.index(node) + 1:02x}"


def _jumps_again(name: str) -> str:
    """One transaction for each table: the jump is deleted, then inserted as the first rule."""
    lines: list[str] = []
    for line in (_DATA / name).read_text().splitlines():
        if line.startswith("-I "):
            lines += [line.replace("-I ", "-D ", 1), line]
        elif line.startswith("*") or line == "COMMIT":
            lines.append(line)
    return "\n".join(lines) + "\n"
