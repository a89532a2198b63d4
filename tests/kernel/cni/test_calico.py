"""Beside Calico's iptables data plane, as a real node had it, in both back ends of iptables."""

from dataclasses import replace

import pytest
from kernel.cluster import Wish
from kernel.cni import foreign
from kernel.cni.beside import (
    Beside,
    assert_matched_pods_leave_with_the_egress_address,
    assert_nothing_else_changes,
    assert_other_pods_leave_with_their_nodes_address,
)
from kernel.cni.foreign import Iptables, KubeProxy
from kernel.harness import NODES
from kernel.traffic import is_silent

pytestmark = pytest.mark.kernel


@pytest.fixture(params=["nft", "legacy"])
def iptables(request: pytest.FixtureRequest) -> Iptables:
    return Iptables(request.param)


def test_pods_leave_as_calico_has_it_before_outgate_comes(
    beside: Beside, iptables: Iptables
) -> None:
    foreign.calico(beside.topology, iptables)

    assert_other_pods_leave_with_their_nodes_address(beside, *NODES)


@pytest.mark.parametrize(("first", "kube_proxy"), [("calico", "iptables"), ("outgate", "nftables")])
def test_either_may_come_first_and_felix_inserts_its_jumps_all_the_time(
    beside: Beside, iptables: Iptables, first: str, kube_proxy: KubeProxy
) -> None:
    if first == "outgate":
        beside.program(Wish())
    foreign.calico(beside.topology, iptables, kube_proxy=kube_proxy)
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


def by_the_cnis_routes(beside: Beside) -> Beside:
    return Beside(beside.topology, replace(beside.settings, reply_route=False))


def test_replies_return_by_calicos_routes_if_they_are_told_to(
    beside: Beside, iptables: Iptables
) -> None:
    foreign.calico(beside.topology, iptables)
    cluster = by_the_cnis_routes(beside)
    cluster.program(Wish())

    assert_matched_pods_leave_with_the_egress_address(cluster)


def test_where_calico_has_no_routes_between_nodes_replies_need_the_tunnel(
    beside: Beside, iptables: Iptables
) -> None:
    foreign.calico(beside.topology, iptables, routes=False)
    cluster = by_the_cnis_routes(beside)
    cluster.program(Wish())
    for version in (4, 6):
        assert is_silent(beside.topology.pods["worker"], version=version)

    beside.program(Wish())
    assert_matched_pods_leave_with_the_egress_address(beside)


def test_nothing_of_calico_is_different_while_outgate_is_there_and_after(
    beside: Beside, iptables: Iptables
) -> None:
    foreign.calico(beside.topology, iptables)

    assert_nothing_else_changes(beside, iptables)
