"""Where the FORWARD policy is DROP: what somebody accepts passes, the rest is dropped, not leaked.

A verdict of another table is final: Outgate can't take back its drop, and does not write into it.
Calico and flannel accept what their pods send and get. At a gateway Calico knows no pod of that
address, but accepts what has its mark: `accept_mark` gives it that. A plain bridge has nobody who
accepts anything: there the operator has to say so.
"""

import socket
from dataclasses import replace

import pytest
from kernel.cluster import Wish, egress
from kernel.cni import foreign
from kernel.cni.beside import Beside, assert_matched_pods_leave_with_the_egress_address
from kernel.cni.foreign import Iptables, KubeProxy
from kernel.harness import Namespace
from kernel.traffic import Capture, is_silent, seen_as

pytestmark = pytest.mark.kernel


CALICO_ACCEPTS = 0x10000
"""Its mark for what its policies have accepted (Felix: IptablesMarkMask 0xffff0000)."""


@pytest.fixture
def iptables() -> Iptables:
    return Iptables("nft")


def drop_what_nobody_accepts(beside: Beside, iptables: Iptables) -> None:
    for node in beside.topology.nodes.values():
        iptables.forward_policy(node, "DROP")


def accept_what_the_tunnel_carries(node: Namespace) -> None:
    """What an operator has to add, once, where nobody else accepts it."""
    for command in ("iptables-nft", "ip6tables-nft"):
        node.run(f"{command} -A FORWARD -i outgate -j ACCEPT")
        node.run(f"{command} -A FORWARD -o outgate -j ACCEPT")


def assert_silent_and_nothing_leaks(beside: Beside, name: str) -> None:
    transport = (socket.IPPROTO_TCP, socket.IPPROTO_UDP)
    with Capture(beside.topology.outside) as capture:
        for version in (4, 6):
            assert is_silent(beside.topology.pods[name], version=version)
        left = [packet for packet in capture.packets() if packet.protocol in transport]
    assert left == []


def test_calicos_own_pods_pass_on_a_gateway(beside: Beside, iptables: Iptables) -> None:
    foreign.calico(beside.topology, iptables)
    drop_what_nobody_accepts(beside, iptables)
    beside.program(Wish())

    for version in (4, 6):
        assert seen_as(beside.topology.pods["first"], version=version) == egress(version)


@pytest.mark.parametrize("kube_proxy", ["iptables", "nftables"])
def test_what_comes_by_the_tunnel_passes_calicos_gateway_with_its_mark(
    beside: Beside, iptables: Iptables, kube_proxy: KubeProxy
) -> None:
    foreign.calico(beside.topology, iptables, kube_proxy=kube_proxy)
    drop_what_nobody_accepts(beside, iptables)
    beside.program(Wish())
    assert_silent_and_nothing_leaks(beside, "worker")

    beside.settings = replace(beside.settings, accept_mark=CALICO_ACCEPTS)
    beside.program(Wish())

    assert_matched_pods_leave_with_the_egress_address(beside)


def test_pods_of_a_bridge_pass_once_the_operator_accepts_them(
    beside: Beside, iptables: Iptables
) -> None:
    for node in beside.topology.nodes.values():
        foreign.bridge(beside.topology, node)
    drop_what_nobody_accepts(beside, iptables)
    beside.program(Wish())
    for name in ("worker", "first"):
        assert_silent_and_nothing_leaks(beside, name)

    for name in ("worker", "first"):
        accept_what_the_tunnel_carries(beside.topology.nodes[name])

    for version in (4, 6):
        assert seen_as(beside.topology.pods["worker"], version=version) == egress(version)
