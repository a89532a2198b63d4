"""Addresses move, agents restart: running flows go on."""

import socket

import pytest
from kernel.cluster import Cluster, Wish, egress
from kernel.traffic import Flow

from outgate.rules import diff as rules_diff
from outgate.rules import plan as rules_plan
from outgate.rules.model import AddElements, DeleteElements

pytestmark = pytest.mark.kernel


def test_a_move_is_one_map_element_on_a_source_node(cluster: Cluster) -> None:
    observed = cluster.nft["worker"].observe()
    moved = rules_plan.plan(cluster.view("worker", Wish(holder="second")), cluster.settings).ruleset

    operations = rules_diff.diff(observed, moved).operations

    match operations:
        case [DeleteElements(_, "next_hop", _, keys), AddElements(_, "next_hop", _, elements)]:
            assert len(keys) == len(elements) == 1
        case _:
            pytest.fail(f"more than one element: {operations}")


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_running_flows_follow_their_address_to_another_gateway(
    cluster: Cluster, version: int, kind: socket.SocketKind
) -> None:
    with Flow(cluster.topology.pods["worker"], version=version, kind=kind) as flow:
        assert flow.seen_as() == egress(version)
        cluster.program(Wish(holder="second"))

        assert flow.seen_as() == egress(version)


@pytest.mark.parametrize("node", ["worker", "first"])
def test_a_restart_loses_nothing_of_a_running_flow(cluster: Cluster, node: str) -> None:
    with Flow(cluster.topology.pods["worker"]) as flow:
        for _ in range(5):
            cluster.restart(node)
            assert flow.seen_as() == egress(4)


def test_a_device_made_anew_gets_its_netdev_chain_again(cluster: Cluster) -> None:
    cluster.topology.nodes["first"].ip("link del outgate")

    cluster.program(Wish())

    with Flow(cluster.topology.pods["worker"]) as flow:
        assert flow.seen_as() == egress(4)


def test_cleanup_leaves_a_node_as_it_was(cluster: Cluster) -> None:
    for name in cluster.nft:
        cluster.nft[name].cleanup()
        cluster.mesh[name].cleanup()
    cluster.place(None)
    node = cluster.topology.nodes["first"]
    clean = node.state()
    assert "outgate" not in str(clean) and "proto 178" not in str(clean)
    assert "table inet cni" in clean["nft -s list ruleset"]

    cluster.program(Wish())
    cluster.place(None)
    assert "outgate" in str(node.state())
    cluster.nft["first"].cleanup()
    cluster.mesh["first"].cleanup()

    assert node.state() == clean
