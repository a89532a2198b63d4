"""Beside flannel in all its modes, and beside a plain bridge that masquerades."""

import pytest
from kernel.cluster import Wish
from kernel.cni import foreign
from kernel.cni.beside import (
    Beside,
    assert_matched_pods_leave_with_the_egress_address,
    assert_nothing_else_changes,
    assert_other_pods_leave_with_their_nodes_address,
)
from kernel.cni.foreign import Backend, Iptables
from kernel.harness import NODES, pod_address

pytestmark = pytest.mark.kernel

MODES = pytest.mark.parametrize(
    ("tables", "backend"), [("nft", "vxlan"), ("legacy", "host-gw"), (None, "vxlan")]
)
"""Flannel's iptables mode on both back ends, its nftables mode; routes by tunnel and by LAN."""


def rules_of(tables: foreign.Tables | None) -> Iptables | None:
    return Iptables(tables) if tables else None


@MODES
@pytest.mark.parametrize("first", ["flannel", "outgate"])
def test_either_may_come_first_whatever_kube_proxy_does(
    beside: Beside, tables: foreign.Tables | None, backend: Backend, first: str
) -> None:
    iptables = rules_of(tables)
    if first == "outgate":
        beside.program(Wish())
    foreign.flannel(beside.topology, iptables, backend=backend)
    for node in beside.topology.nodes.values():
        if iptables:
            foreign.kube_proxy_iptables(node, iptables)
            iptables.forward_policy(node, "DROP")
        else:
            foreign.kube_proxy_nftables(node)
    if first == "flannel":
        beside.program(Wish())

    assert_matched_pods_leave_with_the_egress_address(beside)
    assert_other_pods_leave_with_their_nodes_address(beside, "second")
    beside.topology.pods["worker"].run(f"ping -c1 -W2 {pod_address('second', 4)}")
    beside.topology.pods["second"].run(f"ping -6 -c1 -W2 {pod_address('worker', 6)}")


@MODES
def test_nothing_of_flannel_is_different_while_outgate_is_there_and_after(
    beside: Beside, tables: foreign.Tables | None, backend: Backend
) -> None:
    iptables = rules_of(tables)
    foreign.flannel(beside.topology, iptables, backend=backend)

    assert_nothing_else_changes(beside, iptables or Iptables("nft"))


def test_a_plain_bridge_with_a_masquerade_is_left_as_it_is(beside: Beside) -> None:
    for node in beside.topology.nodes.values():
        foreign.bridge(beside.topology, node)
        foreign.strict_reverse_path(node)
    assert_other_pods_leave_with_their_nodes_address(beside, *NODES)

    beside.program(Wish())
    assert_matched_pods_leave_with_the_egress_address(beside)
    assert_nothing_else_changes(beside, Iptables("nft"))
