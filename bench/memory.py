"""What a node's processes take of its memory, and how long they take to start.

Real processes against a real API server, first with next to nothing in it, then with a large
cluster. This node is a gateway's member: its vip process settles with the others, who are silent,
and with their Leases, who holds its addresses. In the large cluster it holds them all.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from statistics import median

from kernel.vip.processes import some_keys
from unit.agent.cluster import gateway, info, tunnel

from bench import process
from bench.cluster import Cluster
from bench.figures import Figure, summary
from bench.netns import Namespace
from bench.process import MIB, Memory
from bench.workload import PODS, some_pod, some_policy
from outgate.api.core import Namespace as KubeNamespace
from outgate.api.gateway import EgressGateway
from outgate.api.kinds import (
    EGRESS_CLUSTER_INFO,
    EGRESS_GATEWAY,
    EGRESS_POLICY,
    EGRESS_TUNNEL,
    NAMESPACE,
    POD,
)
from outgate.api.meta import ObjectMeta
from outgate.api.tunnel import EgressTunnel, Underlay
from outgate.daemon.heap import EVERY

NODE = "node-a"
POLICIES = 10_000
NODES = 1_000
ADDRESSES = 10
"""Of both families, that this node holds, beside the two of the policies."""
MEMBERS = (NODE, "node-0002", "node-0003")
"""Of its gateway."""
OUTGATE = "outgate"
"""The namespace of the Leases."""

ROUNDS = 3
SETTLED = EVERY + 2.0
"""Seconds after which a process has done what it does at its start, and given back what it can."""

IDLE = 80.0  # MiB, both together: part 2, figure 5
FULL = 150.0
START = 3.0  # s

_PEERS = IPv4Address("198.51.100.0")
"""Of the others' underlay. Larger than that network: nothing is sent there."""
_TUNNELS4 = IPv4Address("198.18.192.0")
_TUNNELS6 = IPv6Address("fd6f:7574:6761:7465::")
_EGRESS4 = IPv4Address("192.0.2.128")
_EGRESS6 = IPv6Address("2001:db8:1::100")


def run() -> tuple[Figure, ...]:
    """Idle, then full; in rounds of new processes."""
    node = _node()
    with tempfile.TemporaryDirectory(prefix="outgate-bench-") as name:
        folder = Path(name)
        with Cluster(node, folder) as cluster:
            _found(cluster)
            keys = some_keys(folder)
            idle = list(_figures("idle", node, cluster, folder, keys=keys, goal=IDLE))
            began = time.monotonic()
            _fill(cluster)
            filled = Figure("fill", time.monotonic() - began, "s")
            full = list(_figures("full", node, cluster, folder, keys=keys, goal=FULL))
    return (*idle, *full, filled)


def _found(cluster: Cluster) -> None:
    """What there is before anybody asks for anything."""
    names = ("shop", OUTGATE)
    cluster.create(NAMESPACE, [KubeNamespace(metadata=ObjectMeta(name=name)) for name in names])
    cluster.create(EGRESS_CLUSTER_INFO, [info("10.244.0.0/16")])
    cluster.create(EGRESS_TUNNEL, [a_tunnel(1)])
    cluster.create(EGRESS_GATEWAY, [a_gateway(addresses=False)])


def _fill(cluster: Cluster) -> None:
    cluster.delete(EGRESS_GATEWAY, "egw")
    cluster.create(EGRESS_GATEWAY, [a_gateway()])
    cluster.create(EGRESS_TUNNEL, map(a_tunnel, range(2, NODES + 1)))
    cluster.create(POD, map(some_pod, range(PODS)))
    cluster.create(EGRESS_POLICY, map(some_policy, range(POLICIES)))


def a_tunnel(number: int) -> EgressTunnel:
    """Of the node of that number, from 1: this one. It is a gateway, as are the next 99."""
    return tunnel(
        NODE if number == 1 else f"node-{number:04}",
        number,
        mark=number if number <= 100 else 0,
        mac=f"02:00:00:00:{number >> 8:02x}:{number & 0xFF:02x}",
        ipv4=str(_TUNNELS4 + number),
        ipv6=str(_TUNNELS6 + number),
        underlay=Underlay(interface="eth0", ipv4=str(_PEERS + number)),
    )


def a_gateway(*, addresses: bool = True) -> EgressGateway:
    """This node is a member, and holds its addresses, those of the policies among them."""
    members = dict.fromkeys(MEMBERS, True)
    if not addresses:
        return gateway(nodes=members)
    entries = [
        (str(first + number), 1 + number + offset, NODE)
        for first, offset in ((_EGRESS4, 0), (_EGRESS6, ADDRESSES))
        for number in range(ADDRESSES)
    ]
    policies = (("203.0.113.100", 101, NODE), ("2001:db8:1::1:100", 106, NODE))
    return gateway(*policies, *entries, nodes=members)


def _held(node: Namespace) -> int:
    """How many addresses the vip process has put on the node's link."""
    (link,) = json.loads(node.run("ip -j addr show dev eth0"))
    return sum(entry["prefixlen"] in (32, 128) for entry in link["addr_info"])


def _node() -> Namespace:
    node = Namespace("node")
    node.sysctl({"ipv6/conf/default/accept_dad": 0, "ipv4/ip_forward": 1})
    node.sysctl({"ipv6/conf/all/forwarding": 1})
    node.ip(
        "link add eth0 type veth peer name eth0peer",
        "addr add 192.0.2.1/24 dev eth0",
        "link set eth0 up",
        "link set eth0peer up",
        "route add default via 192.0.2.254",
    )
    return node


def _figures(
    kind: str, node: Namespace, cluster: Cluster, folder: Path, *, keys: Path, goal: float
) -> Iterator[Figure]:
    held = 0 if kind == "idle" else 2 * ADDRESSES + 2
    starts: list[float] = []
    used: list[float] = []
    taken: list[tuple[Memory, Memory]] = []
    for _ in range(ROUNDS):
        began = time.monotonic()
        with (
            process.vip(node, cluster.account, folder=folder, keys=keys) as vip,
            process.agent(node, cluster.account, node=NODE, folder=folder) as agent,
        ):
            process.until_ready(agent, node)
            starts.append(time.monotonic() - began)
            used.append(agent.cpu())
            process.until("all addresses are here", lambda: _held(node) == held)
            time.sleep(SETTLED)  # what is waited for is that nothing happens any more
            taken.append((agent.memory(), vip.memory()))
    together = [(one.pss + other.pss) / MIB for one, other in taken]
    yield from summary(kind, together, unit="MiB", goal=goal)
    for position, name in enumerate(("agent", "vip")):
        of_it = [pair[position] for pair in taken]
        yield Figure(f"{kind}-{name}", median(one.pss for one in of_it) / MIB, "MiB")
        yield Figure(f"{kind}-{name}-rss", median(one.rss for one in of_it) / MIB, "MiB")
        yield Figure(f"{kind}-{name}-peak", median(one.peak for one in of_it) / MIB, "MiB")
    # The first start of a kind finds a kernel without us; the others are restarts.
    yield Figure(f"start-{kind}", starts[0], "s", START)
    yield Figure(f"start-{kind}-cpu", used[0], "s")
    yield from summary(f"restart-{kind}", starts[1:], unit="s", goal=START)
    yield Figure(f"restart-{kind}-cpu", median(used[1:]), "s")
