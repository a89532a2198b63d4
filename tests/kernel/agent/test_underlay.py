"""What becomes of the underlay is followed, under traffic: its MTU, its address, its route."""

import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from kernel.agent.test_agent import EIP, UDP, World, begins, eventually, sees
from kernel.harness import Namespace, Topology
from kernel.traffic import Capture, Flow, Outside

from outgate.api.kinds import EGRESS_TUNNEL
from outgate.api.tunnel import Underlay
from outgate.tunnel.underlay import Host

pytestmark = pytest.mark.kernel

WITHIN = 5.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all tests here: what a test does to the underlay, it undoes."""
    topology = Topology()
    made = World(topology, tmp_path_factory.mktemp("underlay"))
    try:
        made.policy()
        made.start()
        eventually(lambda: str(EIP[6]) in made.addresses("first"))
        with Outside(topology.outside):
            for version in (4, 6):
                eventually(begins(topology.pods["worker"], version, EIP[version]))
            yield made
    finally:
        made.delete()


def device(node: Namespace) -> str:
    """The tunnel's; empty in the moment in which it is made anew."""
    return node.run("ip -d -o link show outgate", check=False)


def tunnel_mtu(node: Namespace) -> int:
    found = re.search(r" mtu (\d+)", device(node))
    return int(found[1]) if found else 0


def clamps(node: Namespace) -> set[str]:
    chain = node.run("nft list chain inet outgate mss")
    return set(re.findall(r"maxseg size set (\d+)", chain))


def reported(world: World, name: str) -> Underlay:
    tunnel = world.api.get(EGRESS_TUNNEL, name)
    assert tunnel is not None
    return tunnel.status.underlay


def offered(world: World) -> int | None:
    """The segment size that a pod of the worker offers to the outside, as that sees it."""
    with Capture(world.topology.outside) as capture, Flow(world.topology.pods["worker"]):
        return capture.wait_for(socket.IPPROTO_TCP).mss


def test_the_mtu_of_the_underlay_is_followed_and_flows_go_on(world: World) -> None:
    node, pod = world.topology.nodes["worker"], world.topology.pods["worker"]
    with Flow(pod, kind=UDP) as four, Flow(pod, version=6) as six:
        assert (four.seen_as(), six.seen_as()) == (EIP[4], EIP[6])
        before = clamps(node)
        assert tunnel_mtu(node) == 1450
        try:
            node.ip("link set eth0 mtu 1400")

            eventually(lambda: tunnel_mtu(node) == 1350, within=WITHIN)
            eventually(lambda: clamps(node) == {str(int(size) - 100) for size in before})
            assert offered(world) == 1350 - 40
            eventually(lambda: reported(world, "worker").mtu == 1400)
            assert (four.seen_as(), six.seen_as()) == (EIP[4], EIP[6])
        finally:
            node.ip("link set eth0 mtu 1500")
        eventually(lambda: tunnel_mtu(node) == 1450, within=WITHIN)
        eventually(lambda: clamps(node) == before)
        assert (four.seen_as(), six.seen_as()) == (EIP[4], EIP[6])


def test_another_address_of_the_underlay_is_followed_and_told(world: World) -> None:
    node, pod = world.topology.nodes["worker"], world.topology.pods["worker"]
    with Flow(pod, kind=UDP) as flow:
        assert flow.seen_as() == EIP[4]
        try:
            node.ip("addr add 192.0.2.77/24 dev eth0", "addr del 192.0.2.1/24 dev eth0")
            node.ip(
                "addr replace 192.0.2.77/24 dev eth0",
                "route replace 203.0.113.0/24 dev eth0",
                "route replace default via 203.0.113.10",
            )

            eventually(lambda: "local 192.0.2.77 " in device(node), within=WITHIN)
            eventually(lambda: reported(world, "worker").ipv4 == "192.0.2.77")
            eventually(sees(flow, EIP[4]), within=WITHIN)
        finally:
            node.ip("addr replace 192.0.2.1/24 dev eth0", "addr del 192.0.2.77/24 dev eth0")
            node.ip(
                "addr replace 192.0.2.1/24 dev eth0",
                "route replace 203.0.113.0/24 dev eth0",
                "route replace default via 203.0.113.10",
            )
        eventually(lambda: "local 192.0.2.1 " in device(node), within=WITHIN)
        eventually(sees(flow, EIP[4]), within=WITHIN)


def test_an_underlay_that_goes_down_and_comes_up_is_followed(world: World) -> None:
    node, pod = world.topology.nodes["worker"], world.topology.pods["worker"]
    agent = world.agents["worker"]
    with Flow(pod, kind=UDP) as flow:
        assert flow.seen_as() == EIP[4]
        node.ip("link set eth0 down")
        eventually(lambda: not agent.ready(), within=WITHIN)
        assert agent.reconciler is not None
        assert "no default route" in agent.reconciler.unready()
        # Long enough to be waiting for longer between two tries.
        eventually(lambda: agent.reconciler is not None and agent.reconciler.state().failures >= 3)

        node.ip(
            "link set eth0 up",
            "addr replace 2001:db8:1::1/64 dev eth0 nodad",
            "route add 203.0.113.0/24 dev eth0",
            "route add default via 203.0.113.10",
            "route add 2001:db8:f::/64 dev eth0",
            "route add default via 2001:db8:f::10",
        )

        eventually(agent.ready, within=2.0)
        eventually(sees(flow, EIP[4]), within=WITHIN)


def test_the_default_route_is_followed_to_another_interface(world: World) -> None:
    node, pod = world.topology.nodes["worker"], world.topology.pods["worker"]
    world.topology.lan.ip(
        f"link add second0 type veth peer name eth1 netns {node.name}",
        "link set second0 master br0 up",
    )
    # One LAN, two interfaces: each is to answer for its own address.
    node.sysctl({"ipv4/conf/all/arp_ignore": 1})
    node.ip("link set eth1 mtu 1480 up", "addr add 192.0.2.66/24 dev eth1")
    assert reported(world, "worker").interface == "eth0"
    try:
        node.ip(
            "route replace 192.0.2.0/24 dev eth1 src 192.0.2.66",
            "route replace 203.0.113.0/24 dev eth1",
            "route replace default via 203.0.113.10 dev eth1",
        )
        eventually(lambda: tunnel_mtu(node) == 1430, within=WITHIN)
        eventually(lambda: reported(world, "worker").interface == "eth1")
        assert reported(world, "worker").ipv4 == "192.0.2.66"
        assert 'iifname "eth1" udp dport 7789' in node.run("nft list chain inet outgate input")
        eventually(begins(pod, 4, EIP[4]), within=WITHIN)
    finally:
        node.ip(
            "link del eth1",
            "route replace 192.0.2.0/24 dev eth0 src 192.0.2.1",
            "route replace 203.0.113.0/24 dev eth0",
            "route replace default via 203.0.113.10 dev eth0",
        )
    eventually(lambda: tunnel_mtu(node) == 1450, within=WITHIN)
    eventually(begins(pod, 4, EIP[4]), within=WITHIN)


def test_pods_that_come_and_go_are_no_news(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    node, reconciler = world.topology.nodes["worker"], world.agents["worker"].reconciler
    assert reconciler is not None
    looks: list[str] = []

    def host() -> Host:
        looks.append("host")
        return facts.host()

    facts = reconciler._facts
    monkeypatch.setattr(reconciler, "_facts", replace(facts, host=host))
    monkeypatch.setattr(reconciler, "_pace", replace(reconciler._pace, resync=3600.0))
    for number in range(20):
        node.ip(
            f"link add pod7{number} type veth peer name eth7{number}",
            f"link set pod7{number} up",
            f"addr add 10.244.1.{number + 100}/32 dev pod7{number}",
            f"route add 10.244.200.{number + 100}/32 dev pod7{number}",
        )
    threading.Event().wait(1.5)  # three times as long as it takes to hear of it
    assert looks == []
    node.ip("link set eth0 mtu 1400", "link set eth0 mtu 1500")
    eventually(lambda: looks, within=2.0)
    node.ip(*(f"link del pod7{number}" for number in range(20)))
