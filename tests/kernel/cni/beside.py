"""A cluster beside somebody else's rules, and what has to be so on it."""

import socket
from dataclasses import replace

from kernel.cluster import Cluster, Wish, egress
from kernel.cni import foreign
from kernel.cni.foreign import Iptables
from kernel.harness import OUTSIDE4, OUTSIDE6, node_address
from kernel.traffic import Capture, seen_as

from outgate.api.view import NodeView

KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)


class Beside(Cluster):
    """As it is everywhere, but that the pods on `second` are under no policy."""

    def view(self, name: str, wish: Wish) -> NodeView:
        """See `Cluster`."""
        view = super().view(name, wish)
        return replace(view, pods={}) if name == "second" else view

    def remove(self) -> None:
        """What the agent does when it is uninstalled, on every node."""
        self.place(None)
        for name in self.topology.nodes:
            self.nft[name].cleanup()
            self.mesh[name].cleanup()


def assert_matched_pods_leave_with_the_egress_address(cluster: Cluster) -> None:
    """Pods of a worker and of the gateway: TCP, UDP, ICMP, both families, and the answers."""
    for name in ("worker", "first"):
        pod = cluster.topology.pods[name]
        for version in (4, 6):
            for kind in KINDS:
                assert seen_as(pod, version=version, kind=kind) == egress(version), (name, kind)
            with Capture(cluster.topology.outside, everything=True) as capture:
                to = OUTSIDE4 if version == 4 else OUTSIDE6
                pod.run(f"ping -{version} -c1 -W2 {to}")
                assert egress(version) in {packet.source for packet in capture.packets()}, name


def assert_other_pods_leave_with_their_nodes_address(cluster: Cluster, *names: str) -> None:
    """As the CNI has it."""
    for name in names:
        for version in (4, 6):
            for kind in KINDS:
                seen = seen_as(cluster.topology.pods[name], version=version, kind=kind)
                assert seen == node_address(name, version), (name, kind)


def assert_nothing_else_changes(cluster: Beside, iptables: Iptables) -> None:
    """Rules, sets, routes and sysctls of others: before, with Outgate, after a move, without it."""
    nodes = cluster.topology.nodes.values()
    before = [foreign.state(node, iptables) for node in nodes]

    def changed() -> list[str]:
        now = [foreign.state(node, iptables) for node in nodes]
        pairs = zip(before, now, strict=True)
        return [line for pair in pairs for line in foreign.differences(*pair)]

    cluster.program(Wish())
    assert seen_as(cluster.topology.pods["worker"]) == egress(4)
    during = changed()
    assert not during, during
    cluster.program(Wish(holder="second"))
    cluster.remove()
    after = changed()
    assert not after, after
