"""What others change of what an agent has programmed is repaired within 5 s, and counted."""

import re
import threading
from collections.abc import Iterator

import pytest
from kernel.agent.test_agent import EIP, UDP, World, begins, eventually
from kernel.harness import Namespace, Topology
from kernel.traffic import Flow, Outside
from prometheus_client import REGISTRY
from pyroute2 import IPRoute

from outgate.rules.kernel import NftKernel
from outgate.tunnel.kernel import MeshKernel

pytestmark = pytest.mark.kernel

WITHIN = 5.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all tests here: each has to leave it as it found it, that is the point."""
    topology = Topology()
    made = World(topology, tmp_path_factory.mktemp("drift"))
    try:
        made.policy()
        made.start()
        made.settle()
        with Outside(topology.outside):
            yield made
    finally:
        made.delete()


VIP_TABLES = re.compile(r"^table \w+ outgate_vip \{.*?^\}\n", re.DOTALL | re.MULTILINE)


def counted(what: str) -> float:
    return REGISTRY.get_sample_value("outgate_agent_drift_total", {"what": what}) or 0.0


def state(node: Namespace) -> dict[str, list[str]]:
    """Of the node, without what a repair may change: a device's number, and orders.

    And without the vip process' tables, in which leases run out and begin anew all the time.
    """
    filters = "sysctl net.ipv4.conf.outgate.rp_filter"
    texts = {**node.state(), filters: node.run(filters, check=False)}
    texts = {command: VIP_TABLES.sub("", text) for command, text in texts.items()}
    return {
        command: sorted(re.sub(r"^\d+: ", "", line) for line in text.splitlines())
        for command, text in texts.items()
    }


RULES = (
    "nft flush table inet outgate",
    "nft delete table inet outgate",
    "nft flush chain inet outgate begin",
    "nft flush chain inet outgate postrouting",
    "nft delete table netdev outgate",
    "nft flush map inet outgate class4",
    "nft add element inet outgate address4 { 0x00990000 : 192.0.2.66 }",
    "nft insert rule inet outgate prerouting accept",
    "nft add set inet outgate odd { type inet_service; flags interval, timeout; }",
)
MESH = (
    "ip link del outgate",
    "ip link set outgate down",
    "ip link set outgate mtu 1300",
    "ip link set outgate address 02:00:00:00:99:99",
    "ip addr del 198.18.192.2/32 dev outgate",
    "ip -6 addr flush dev outgate",
    "ip neigh flush dev outgate nud permanent",
    "ip neigh del 198.18.192.3 dev outgate",
    "ip neigh replace 198.18.192.3 lladdr 02:00:00:00:99:99 dev outgate nud permanent",
    "bridge fdb del 02:00:00:00:00:01 dev outgate dst 192.0.2.1 self",
    "bridge fdb replace 02:00:00:00:00:01 dev outgate dst 192.0.2.99 self permanent",
    "ip route flush table 7702",
    "ip -6 route flush table 7702",
    "ip rule del priority 90",
    "ip rule del priority 89",
    "ip rule add priority 90 fwmark 0x77/0xff table 7702 protocol 178",
    "sysctl -q -w net.ipv4.conf.outgate.rp_filter=1",
)
ADDRESSES = (
    f"ip addr del {EIP[4]}/32 dev eth0",
    f"ip addr del {EIP[6]}/128 dev eth0",
)
ALL = [
    *((tampering, "rules") for tampering in RULES),
    *((tampering, "mesh") for tampering in MESH),
    *((tampering, "addresses") for tampering in ADDRESSES),
]


@pytest.mark.parametrize(("tampering", "what"), ALL, ids=[tampering for tampering, _ in ALL])
def test_drift_is_repaired_in_time_and_counted(world: World, tampering: str, what: str) -> None:
    node = world.topology.nodes["first"]
    before, count = state(node), counted(what)
    node.run(tampering)

    # The count, too, says that it was there: a look may come before the test can.
    eventually(lambda: counted(what) > count and state(node) == before, within=WITHIN)

    for version in (4, 6):
        eventually(begins(world.topology.pods["worker"], version, EIP[version]))


def test_an_egress_address_that_moved_to_another_link_comes_back(world: World) -> None:
    node = world.topology.nodes["first"]
    before = state(node)

    def move() -> None:
        with IPRoute() as netlink:
            here, there = (netlink.link_lookup(ifname=name)[0] for name in ("eth0", "pod0"))
            netlink.addr("del", index=here, address=str(EIP[4]), prefixlen=32)
            netlink.addr("add", index=there, address=str(EIP[4]), prefixlen=32, proto=178)

    node.inside(move)
    assert state(node) != before

    eventually(lambda: state(node) == before, within=WITHIN)


def test_flows_that_began_while_the_rules_were_gone_do_not_go_on_as_they_began(
    world: World,
) -> None:
    node, pod = world.topology.nodes["worker"], world.topology.pods["worker"]
    node.run("nft delete table inet outgate")
    with Flow(pod, kind=UDP) as flow:
        assert flow.seen_as() != EIP[4]

        def moved() -> bool:
            try:
                return flow.seen_as() == EIP[4]
            except OSError:
                return False

        eventually(moved, within=WITHIN)


def test_an_untouched_node_is_neither_read_nor_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = threading.Event()
    reads: list[str] = []
    for kernel in (NftKernel, MeshKernel):
        for name in ("observe", "apply"):
            original = getattr(kernel, name)

            def watched(
                self: object, *args: object, _do: object = original, _n: str = name
            ) -> object:
                reads.append(f"{type(self).__name__}.{_n}")
                return _do(self, *args)  # type: ignore[operator]

            monkeypatch.setattr(kernel, name, watched)
    # What was repaired before is looked at once more; after that there is nothing to do.
    for _ in range(5):
        reads.clear()
        quiet.wait(3.5)
        if not reads:
            break
    quiet.wait(7.0)

    assert reads == []


def test_what_others_write_elsewhere_is_let_be(world: World) -> None:
    node = world.topology.nodes["first"]
    before = {what: counted(what) for what in ("rules", "mesh", "addresses")}
    node.run("nft add table inet other")
    node.ip(
        "rule add priority 91 fwmark 0x1/0xff table 99", "link add veth9 type veth peer name veth8"
    )
    kept = state(node)

    threading.Event().wait(3.5)

    assert {what: counted(what) for what in before} == before
    assert state(node) == kept
    node.run("nft delete table inet other")
    node.ip("rule del priority 91", "link del veth9")
