"""The gateway tracks what comes by the tunnel in the zone of its egress id, apart from all else."""

import socket

import pytest
from kernel.cluster import ID, Cluster, egress, mesh_node
from kernel.harness import OUTSIDE4, node_address, pod_address
from kernel.path.test_closed import udp, vxlan
from kernel.traffic import PORT, Capture, seen_as

pytestmark = pytest.mark.kernel

SOURCE_PORT = 5000  # of `udp`


@pytest.mark.parametrize("version", [4, 6])
def test_a_flow_lies_in_the_zone_of_its_id_at_the_gateway_only(
    cluster: Cluster, version: int
) -> None:
    assert seen_as(cluster.topology.pods["worker"], version=version) == egress(version)

    gateway, source = (
        cluster.topology.nodes[name].run(f"conntrack -L -f ipv{version}")
        for name in ("first", "worker")
    )
    assert f"zone-orig={ID} " in gateway
    assert "zone" not in source


def test_what_comes_with_another_id_is_not_taken_for_a_local_pods_flow(cluster: Cluster) -> None:
    local = str(pod_address("first", 4))
    with cluster.topology.pods["first"].socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        datagram.bind((local, SOURCE_PORT))
        datagram.sendto(b"who?", (str(OUTSIDE4), PORT))
        assert datagram.recv(64)
        inner = udp(local, str(OUTSIDE4), port=PORT)
        payload = vxlan(mac=mesh_node("worker").mac, id_=ID + 1, inner=inner)
        worker = cluster.topology.nodes["worker"]
        with (
            Capture(cluster.topology.outside) as capture,
            worker.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
        ):
            peer.sendto(payload, (str(node_address("first", 4)), cluster.settings.port))
            assert [each for each in capture.packets() if each.protocol == socket.IPPROTO_UDP] == []

    assert cluster.count("first", "invalid") == 1
