"""The tunnel's own packets: not tracked, which opens nothing to anybody else's."""

import socket

import pytest
from kernel.cluster import Cluster, Wish, egress
from kernel.harness import Topology
from kernel.traffic import Capture, Outside, is_silent, seen_as

from outgate.api.view import DataPathSettings

pytestmark = pytest.mark.kernel

DATAGRAM = socket.SOCK_DGRAM

UNTRACKED = """
table inet other {
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    iifname "pod0" notrack
  }
}
"""


@pytest.mark.parametrize("underlay", [4, 6])
def test_what_is_in_the_tunnel_is_tracked_and_the_tunnel_is_not(
    topology: Topology, underlay: int
) -> None:
    cluster = Cluster(topology, DataPathSettings(), underlay=underlay)
    cluster.program(Wish())
    with Outside(topology.outside):
        for version in (4, 6):
            assert seen_as(topology.pods["worker"], version=version) == egress(version)
    for name in ("worker", "first"):
        for family in ("ipv4", "ipv6"):
            entries = topology.nodes[name].run(f"conntrack -L -f {family}")
            assert f"dport={cluster.settings.port}" not in entries
            assert "dport=8080" in entries


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", ["worker", "first"])
def test_a_matched_pods_untracked_packets_do_not_leave(
    cluster: Cluster, name: str, version: int
) -> None:
    cluster.topology.nodes[name].run("nft -f -", script=UNTRACKED)
    with Capture(cluster.topology.outside) as capture:
        assert is_silent(cluster.topology.pods[name], version=version, kind=DATAGRAM)
        sent = [each for each in capture.packets() if each.protocol == socket.IPPROTO_UDP]
    assert sent == []
    assert cluster.count(name, "invalid") > 0
