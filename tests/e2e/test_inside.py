"""Row P4: traffic inside the cluster is never touched, not even under 0.0.0.0/0 and ::/0."""

from collections.abc import Iterator

import pytest
from e2e.world import CLIENTS, FAMILIES, NAMESPACE, World, selected


@pytest.fixture(scope="module")
def everything(world: World) -> Iterator[World]:
    """A policy over all clients and all destinations."""
    policy = world.policy(
        "everything",
        {
            "appliedTo": selected(app="client"),
            "destSubnet": ["0.0.0.0/0", "::/0"],
        },
    )
    with world.having(policy):
        for client in CLIENTS:
            for family in FAMILIES:
                world.wait_source(client, {4: "172.30.0.110", 6: "fd00:30::110"}[family], family)
        yield world


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("server", ["server-gw1", "server-w1"])
def test_pod_to_pod_keeps_the_pods_address(
    everything: World, client: str, server: str, family: int
) -> None:
    body = everything.fetch(client, everything.pod_address(server, family))
    assert everything.pod_address(client, family) in body


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("client", CLIENTS)
def test_pod_to_cluster_ip_answers(everything: World, client: str, family: int) -> None:
    assert "server-" in everything.fetch(client, everything.cluster_ip(family), 80)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("client", CLIENTS)
def test_pod_to_any_node_does_not_use_the_tunnel(
    everything: World, client: str, family: int
) -> None:
    for node in ("gw1", "gw2", "w1"):
        address = everything.node_address(node, family)
        with everything.lab.capture(node, "udp port 7789") as capture:
            assert everything.lab.ping(client, address, namespace=NAMESPACE) is not None
            capture.stop()
            assert capture.lines() == []


def test_what_was_detected_is_shown_with_its_source(everything: World) -> None:
    info = everything.lab.kubectl_json("get", "egressclusterinfo", "default")["status"]["networks"]
    found = {(entry["cidr"], entry["source"]) for entry in info}
    assert ("10.96.0.0/16", "ServiceCIDR") in found
    assert ("fd00:96::/112", "ServiceCIDR") in found
    assert ("172.30.0.13/32", "NodeAddress") in found
    assert any(source == "NodePodCIDR" for _, source in found)


def test_extra_networks_count_as_inside(everything: World) -> None:
    info = {
        "apiVersion": "outgate.dev/v1beta1",
        "kind": "EgressClusterInfo",
        "metadata": {"name": "default"},
    }
    everything.apply({**info, "spec": {"extraCIDR": ["203.0.113.20/32"]}})
    try:
        everything.wait_source("client-w1", everything.node_address("w1", 4), to="203.0.113.20")
        assert everything.source("client-w1") == "172.30.0.110"
    finally:
        everything.apply({**info, "spec": {"extraCIDR": []}})
    everything.wait_source("client-w1", "172.30.0.110", to="203.0.113.20")
