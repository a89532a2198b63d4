"""Beside Calico's iptables data plane, as a real node had it, in both back ends of iptables."""

import pytest
from kernel.cluster import Wish
from kernel.cni import foreign
from kernel.cni.beside import (
    Beside,
    assert_matched_pods_leave_with_the_egress_address,
    assert_nothing_else_changes,
    assert_other_pods_leave_with_their_nodes_address,
)
from kernel.cni.foreign import Iptables
from kernel.harness import NODES

pytestmark = pytest.mark.kernel


@pytest.fixture(params=["nft", "legacy"])
def iptables(request: pytest.FixtureRequest) -> Iptables:
    return Iptables(request.param)


def test_pods_leave_as_calico_has_it_before_outgate_comes(
    beside: Beside, iptables: Iptables
) -> None:
    foreign.calico(beside.topology, iptables)

    assert_other_pods_leave_with_their_nodes_address(beside, *NODES)


@pytest.mark.parametrize("first", ["calico", "outgate"])
def test_either_may_come_first_and_felix_inserts_its_jumps_all_the_time(
    beside: Beside, iptables: Iptables, first: str
) -> None:
    if first == "outgate":
        beside.program(Wish())
    foreign.calico(beside.topology, iptables)
    if first == "calico":
        beside.program(Wish())

    with foreign.felix(beside.topology, iptables):
        assert_matched_pods_leave_with_the_egress_address(beside)
        assert_other_pods_leave_with_their_nodes_address(beside, "second")


def test_strict_filters_that_look_at_the_mark_take_nothing_away(
    beside: Beside, iptables: Iptables
) -> None:
    foreign.calico(beside.topology, iptables)
    for node in beside.topology.nodes.values():
        node.sysctl({"ipv4/conf/all/src_valid_mark": 1})
    beside.program(Wish())

    assert_matched_pods_leave_with_the_egress_address(beside)
    assert_other_pods_leave_with_their_nodes_address(beside, "second")


def test_nothing_of_calico_is_different_while_outgate_is_there_and_after(
    beside: Beside, iptables: Iptables
) -> None:
    foreign.calico(beside.topology, iptables)

    assert_nothing_else_changes(beside, iptables)
