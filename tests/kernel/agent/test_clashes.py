"""Others' ports, devices, tables, ip rules and marks: named by an agent, which then writes none."""

import http.client
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from kernel.agent.test_agent import World, eventually
from kernel.cni import foreign
from kernel.cni.foreign import Iptables, Tables
from kernel.harness import Namespace, Topology

from outgate.agent import others
from outgate.agent.clashes import clashes, doubts
from outgate.agent.node_state import ALL_BITS as ALL
from outgate.agent.others import observe
from outgate.api.kinds import EGRESS_TUNNEL
from outgate.api.view import DataPathSettings
from outgate.daemon.http import HttpServer
from outgate.rules.kernel import NftKernel
from outgate.tunnel.kernel import MeshKernel

pytestmark = pytest.mark.kernel

DEFAULTS = DataPathSettings()
AWS = """
*mangle
-A PREROUTING -i eth0 -m comment --comment "AWS, primary ENI" -m addrtype --dst-type LOCAL \
--limit-iface-in -j CONNMARK --set-xmark 0x80/0x80
-A PREROUTING -i eni+ -m comment --comment "AWS, primary ENI" -j CONNMARK --restore-mark \
--nfmask 0x80 --ctmask 0x80
COMMIT
"""
TAILSCALE = """
*mangle
:ts-forward - [0:0]
-A FORWARD -j ts-forward
-A ts-forward -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000
-A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT
COMMIT
"""
CILIUM = """
*mangle
:CILIUM_PRE_mangle - [0:0]
-A PREROUTING -j CILIUM_PRE_mangle
-A CILIUM_PRE_mangle -m socket --transparent -j MARK --set-xmark 0x200/0xffffffff
-A CILIUM_PRE_mangle -p tcp -m mark --mark 0x200/0xf00 -j TPROXY --on-port 9001 \
--on-ip 127.0.0.1 --tproxy-mark 0x200/0xffffffff
COMMIT
"""


@dataclass(frozen=True, slots=True)
class Case:
    """What somebody does on a node, how it is undone, and what the agent says meanwhile."""

    name: str
    does: tuple[str, ...]
    undoes: tuple[str, ...]
    said: str
    script: str = ""


CASES = (
    Case(
        "port",
        ("ip link add vxlan.calico type vxlan id 4096 dev eth0 dstport 7789",),
        ("ip link del vxlan.calico",),
        "UDP port 7789 is taken by the device vxlan.calico (VXLAN, VNI 4096, port 7789): choose "
        "another port, on all nodes, with feature.vxlan.port (--vxlan-port)",
    ),
    Case(
        "port and vni",
        ("ip link add other7 type vxlan id 7789 dev eth0 dstport 7789",),
        ("ip link del other7",),
        "UDP port 7789 is taken by the device other7 (VXLAN, VNI 7789, port 7789): choose another "
        "port, on all nodes, with feature.vxlan.port (--vxlan-port), and another VNI with "
        "feature.vxlan.id (--vxlan-id)",
    ),
    Case(
        "device of our name",
        ("ip link add outgate type bridge",),
        ("ip link del outgate",),
        "there is a device outgate that Outgate has not made (bridge), and Outgate's has to be "
        "called so: rename or remove it",
    ),
    Case(
        "device of our name without group policies",
        ("ip link add outgate type vxlan id 9 dev eth0 dstport 9999",),
        ("ip link del outgate",),
        "there is a device outgate that Outgate has not made (VXLAN, VNI 9, port 9999), and "
        "Outgate's has to be called so: rename or remove it",
    ),
    Case(
        "routes",
        (
            "ip route add 203.0.113.128/25 via 192.0.2.9 table 7702 proto bird",
            "ip route add blackhole 198.51.100.0/24 table 7703 proto bird",
        ),
        ("ip route flush table 7702", "ip route flush table 7703"),
        "routing table 7702, one of ours, has a route of proto bird by BIRD "
        '("203.0.113.128/25 via 192.0.2.9 dev eth0 table 7702 proto bird" and 1 more route): '
        "choose other tables with datapath.tableBase (--table-base)",
    ),
    Case(
        "ipv6 route",
        ("ip -6 route add default dev lo table 7955 proto 80",),
        ("ip -6 route flush table 7955",),
        "routing table 7955, one of ours, has a route of proto 80 by Calico "
        '("default dev lo table 7955 proto 80"): '
        "choose other tables with datapath.tableBase (--table-base)",
    ),
    Case(
        "rule to our table",
        ("ip rule add from 10.1.0.0/16 to 10.2.0.0/16 lookup 7705 priority 1000 proto static",),
        ("ip rule del priority 1000",),
        'the ip rule "1000: from 10.1.0.0/16 to 10.2.0.0/16 lookup 7705 proto static" leads to '
        "table 7705, one of ours: choose other tables with datapath.tableBase (--table-base)",
    ),
    Case(
        "priority",
        ("ip -6 rule add iif eth0 ipproto udp dport 53 lookup main priority 90",),
        ("ip -6 rule del priority 90",),
        'the ip -6 rule "90: from all iif eth0 ipproto udp dport 53 lookup main" stands at a '
        "priority of ours (88 to 91): choose another priority with datapath.rulePriority "
        "(--rule-priority)",
    ),
    Case(
        "mark of an ip rule",
        ("ip rule add fwmark 0x80/0x80 lookup main priority 1024",),
        ("ip rule del priority 1024",),
        "bits 0x80 of our packet mark (0xff) are asked for by the ip rule "
        '"1024: from all fwmark 0x80/0x80 lookup main" by AWS VPC CNI: choose other bits with '
        "datapath.markMask (--mark-mask)",
    ),
    Case(
        "mark of nftables",
        ("nft -f -",),
        ("nft delete table inet lb",),
        "bits 0x10 of our packet mark (0xff) are used (table inet lb, chain steer "
        '("to the proxy") sets the packet mark 0x10/0x10 and 1 more rule): choose other bits with '
        "datapath.markMask (--mark-mask)",
        script="""
        table inet lb {
          chain steer {
            type filter hook prerouting priority mangle;
            tcp dport 80 meta mark set meta mark | 0x10 comment "to the proxy"
            meta mark & 0x10 == 0x10 accept
          }
        }""",
    ),
    Case(
        "mark of iptables-nft",
        ("iptables-nft-restore --noflush",),
        ("iptables-nft -t mangle -F PREROUTING",),
        "bits 0x80 of our packet mark (0xff) are used by AWS VPC CNI (table ip mangle, chain "
        'PREROUTING ("AWS, primary ENI") sets bits 0x80 of the packet mark): choose other bits '
        "with datapath.markMask (--mark-mask)",
        script=AWS,
    ),
    Case(
        "mark of iptables-legacy",
        ("iptables-legacy-restore --noflush",),
        ("iptables-legacy -t mangle -F PREROUTING",),
        "bits 0x80 of our packet mark (0xff) are used by AWS VPC CNI (table ip mangle "
        '(iptables-legacy), chain PREROUTING ("AWS, primary ENI") sets bits 0x80 of the packet '
        "mark): choose other bits with datapath.markMask (--mark-mask)",
        script=AWS,
    ),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all tests here: what a test does on a node, it undoes."""
    topology = Topology()
    made = World(topology, tmp_path_factory.mktemp("clashes"))
    try:
        yield made
    finally:
        made.delete()


@pytest.fixture
def node() -> Iterator[Namespace]:
    """A node with nothing on it."""
    made = Namespace("node")
    try:
        yield made
    finally:
        made.delete()


def of_ours(node: Namespace) -> list[str]:
    """What an agent would have written."""
    found = node.run("nft list tables").splitlines()
    links = node.run("ip -o -d link show type vxlan").splitlines()
    return [
        *(line for line in found if line.endswith(" outgate")),
        *(line for line in links if " gbp " in line),
        *(line for line in node.run("ip rule").splitlines() if "proto 178" in line),
    ]


def conditions(world: World) -> dict[str, tuple[str, str, str]]:
    tunnel = world.api.get(EGRESS_TUNNEL, "worker")
    assert tunnel is not None
    status = tunnel.status
    return {each.type: (each.status, each.reason, each.message) for each in status.conditions}


def do(node: Namespace, case: Case) -> None:
    for command in case.does:
        node.run(command, script=case.script or None)


def undo(node: Namespace, case: Case) -> None:
    for command in case.undoes:
        node.run(command)


def found(node: Namespace, settings: DataPathSettings = DEFAULTS) -> tuple[str, ...]:
    return node.inside(lambda: clashes(observe(settings), settings))


def doubted(node: Namespace, settings: DataPathSettings = DEFAULTS) -> tuple[str, ...]:
    return node.inside(lambda: doubts(observe(settings), settings))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_clash_is_named_with_its_owner_and_the_setting(world: World, case: Case) -> None:
    node = world.topology.nodes["second"]
    assert found(node) == ()
    do(node, case)
    try:
        assert found(node) == (case.said,)
    finally:
        undo(node, case)
    assert found(node) == ()


@pytest.mark.parametrize("case", CASES[::5], ids=[case.name for case in CASES[::5]])
def test_the_agent_says_it_before_it_writes_and_works_when_it_is_gone(
    world: World, case: Case
) -> None:
    agent, node = world.agents["worker"], world.topology.nodes["worker"]
    do(node, case)
    try:
        agent.start()
        reconciler = agent.reconciler
        assert reconciler is not None
        eventually(lambda: reconciler.state().error)

        assert reconciler.unready() == case.said
        assert readiness(node, reconciler.unready) == (503, case.said)
        assert of_ours(node) == []
        eventually(lambda: conditions(world).get("Programmed") == ("False", "Failed", case.said))
    finally:
        undo(node, case)
    eventually(agent.ready)
    eventually(lambda: conditions(world)["Programmed"] == ("True", "Programmed", ""))
    agent.halt()
    MeshKernel(DEFAULTS, namespace=node.path).cleanup()
    NftKernel(netns=node.path).cleanup()


def test_what_an_agent_left_is_no_clash_for_the_next_whatever_its_settings_were(
    world: World,
) -> None:
    agent, node = world.agents["first"], world.topology.nodes["first"]
    agent.start()
    eventually(agent.ready)
    agent.halt()

    assert found(node) == ()
    assert doubted(node) == ()
    assert found(node, replace(DEFAULTS, vni=9, port=9999, table_base=8000)) == ()


def test_a_processs_socket_is_named_and_the_tunnels_own_is_not(node: Namespace) -> None:
    with closing(node.socket(socket.AF_INET, socket.SOCK_DGRAM)) as taken:
        taken.bind(("127.0.0.1", DEFAULTS.port))
        name = Path("/proc/self/comm").read_text().strip()
        assert found(node) == (
            f"UDP port 7789 is taken by {name} (process {os.getpid()}), at 127.0.0.1: choose "
            "another port, on all nodes, with feature.vxlan.port (--vxlan-port)",
        )
    node.ip("link add outgate type vxlan id 7 dstport 7789 gbp", "link set outgate up")
    assert "1E6D" in node.run("cat /proc/net/udp /proc/net/udp6")
    assert found(node) == ()


def test_a_socket_that_no_visible_process_has_is_told_how_to_find(node: Namespace) -> None:
    # As a process of another container is, or a VXLAN device that has gone to another namespace.
    away = Namespace("away")
    try:
        node.ip("link add gone7 type vxlan id 7 dstport 7789", "link set gone7 up")
        node.ip(f"link set gone7 netns {away.name}")
        away.ip("link set gone7 up")
        assert found(node)[0] == (
            "UDP port 7789 is taken by a process that can't be seen from here, or the kernel, at "
            "0.0.0.0 (on the node: ss -ulpn sport = :7789): choose another port, on all nodes, "
            "with feature.vxlan.port (--vxlan-port)"
        )
    finally:
        away.delete()


@pytest.mark.parametrize("proxy", ["iptables", "nftables"])
@pytest.mark.parametrize("tables", ["nft", "legacy"])
@pytest.mark.parametrize("cni", ["calico", "flannel"])
def test_beside_cnis_and_kube_proxies_there_is_no_false_alarm(
    cni: str, tables: Tables, proxy: str
) -> None:
    topology = Topology()
    try:
        iptables, node = Iptables(tables), topology.nodes["worker"]
        if cni == "calico":
            foreign.calico(topology, iptables, kube_proxy=False)
        else:
            foreign.flannel(topology, iptables, backend="vxlan")
        if proxy == "iptables":
            foreign.kube_proxy_iptables(node, iptables)
        else:
            foreign.kube_proxy_nftables(node)

        assert (found(node), doubted(node)) == ((), ())
        # It has not overlooked them: other bits are in their way.
        text = "\n".join(found(node, replace(DEFAULTS, mark_mask=0x7000)))
        assert "bits 0x4000 of our packet mark (0x7000) are used by kube-proxy" in text
        if cni == "flannel":
            assert "bits 0x4000 of our packet mark (0x7000) are used by flannel" in text
            (port,) = found(node, replace(DEFAULTS, port=8472))
            assert port.startswith("UDP port 8472 is taken by the device flannel.1 (VXLAN, VNI 1")
    finally:
        topology.delete()


@pytest.mark.parametrize("mode", ["nft", "legacy"])
def test_tailscale_cilium_and_wireguard_keep_nobody_from_working(
    node: Namespace, mode: str
) -> None:
    for script in (TAILSCALE, CILIUM):
        node.run(f"iptables-{mode}-restore --noflush", script=script)
    node.ip(
        "rule add fwmark 0x80000/0xff0000 lookup main priority 5210",
        "rule add fwmark 0x200/0xf00 lookup 2004 priority 9",
        "rule add not fwmark 0xca6c lookup 51820 priority 30000",
    )
    where = "ip mangle" if mode == "nft" else "ip mangle (iptables-legacy)"
    assert found(node) == ()
    assert doubted(node) == (
        'the ip rule "30000: not from all fwmark 0xca6c lookup 51820" asks for a whole mark that '
        "has bits of ours (0xff): packets so marked may match our ip rules too, and where they go "
        "astray, choose other bits with datapath.markMask (--mark-mask)",
        f"Cilium: table {where}, chain CILIUM_PRE_mangle sets the packet mark 0x200: our bits go "
        "with it, and egress traffic that meets it loses its way and is dropped, so give that rule "
        "a mask",
    )


def test_who_writes_the_connection_mark_is_said_in_status_and_the_agent_works(
    world: World,
) -> None:
    agent, node = world.agents["worker"], world.topology.nodes["worker"]
    node.run("nft add table ip mine")
    node.run("nft add chain ip mine pre { type filter hook prerouting priority -150; }")
    node.run("nft add rule ip mine pre ct mark set 0x7")
    node.run("nft add rule ip mine pre meta mark set ct mark")
    try:
        agent.start()
        eventually(agent.ready)
        said = (
            "table ip mine, chain pre sets the connection mark 0x7: on flows",
            "table ip mine, chain pre sets the whole packet mark: our bits go with",
        )

        def told() -> bool:
            # What was reported before may still stand there for a moment.
            status, _, message = conditions(world).get("Programmed", ("", "", ""))
            return status == "True" and all(each in message for each in said)

        eventually(told)
    finally:
        node.run("nft delete table ip mine")
        agent.halt()


def test_a_rule_of_nftables_is_understood_as_it_was_written(node: Namespace) -> None:
    expected = {
        "meta mark 0x5": [("packet", "reads", ALL, 0x5)],
        "meta mark != 0x5": [("packet", "reads", ALL, 0x5)],
        "meta mark & 0xf0 == 0x10": [("packet", "reads", 0xF0, 0x10)],
        "meta mark > 0x5": [("packet", "reads", ALL, None)],
        "meta mark 0x5-0x9": [("packet", "reads", ALL, None)],
        "meta mark { 0x1, 0x2 }": [("packet", "reads", ALL, None)],
        "meta mark & 0xf0 vmap { 0x10 : drop }": [("packet", "reads", 0xF0, None)],
        "meta mark set 0x5": [("packet", "writes", ALL, 0x5)],
        "meta mark set meta mark | 0x10": [("packet", "writes", 0x10, 0x10)],
        "meta mark set meta mark & 0xffffff00 | 0x3": [("packet", "writes", 0xFF, 0x3)],
        "meta mark set meta mark ^ 0x4000": [("packet", "writes", 0x4000, 0x4000)],
        "meta mark set ip saddr map { 192.0.2.1 : 0x5 }": [("packet", "writes", ALL, None)],
        "meta mark set ct mark & 0xf0": [
            ("connection", "reads", 0xF0, None),
            ("packet", "writes", ALL, None),
        ],
        "ct mark set meta mark": [
            ("packet", "reads", ALL, None),
            ("connection", "writes", ALL, None),
        ],
        "ct mark set ct mark | 0x80": [("connection", "writes", 0x80, 0x80)],
        "ct mark & 0x80 == 0x80": [("connection", "reads", 0x80, 0x80)],
        "meta priority set 0x5": [],
        "ip saddr 192.0.2.1 meta l4proto tcp": [],
    }
    node.run("nft add table ip t")
    for number, rule in enumerate(expected):
        node.run(f"nft add chain ip t c{number}")
        node.run("nft -f -", script=f"add rule ip t c{number} {rule}")
    uses = node.inside(lambda: observe(DEFAULTS)).mark_uses
    for number, (rule, wanted) in enumerate(expected.items()):
        got = [
            (use.subject, use.verb, use.mask, use.value)
            for use in uses
            if use.chain == f"c{number}"
        ]
        assert got == wanted, rule


@pytest.mark.parametrize("mode", ["nft", "legacy"])
@pytest.mark.parametrize("version", [4, 6])
def test_an_iptables_rule_is_understood_as_it_was_written(
    node: Namespace, mode: str, version: int
) -> None:
    expected = {
        "-m mark --mark 0x10/0xf0": [("packet", "reads", 0xF0, 0x10)],
        "-m mark ! --mark 0x10/0xf0 -j ACCEPT": [("packet", "reads", 0xF0, 0x10)],
        "-m connmark --mark 0x80/0x80": [("connection", "reads", 0x80, 0x80)],
        "-j MARK --set-mark 0x5": [("packet", "writes", ALL, 0x5)],
        "-j MARK --or-mark 0x10": [("packet", "writes", 0x10, 0x10)],
        "-j MARK --and-mark 0xffffff00": [("packet", "writes", 0xFF, 0)],
        "-j MARK --xor-mark 0x4000": [("packet", "writes", 0x4000, 0x4000)],
        "-j CONNMARK --set-xmark 0x80/0x80": [("connection", "writes", 0x80, 0x80)],
        "-j CONNMARK --save-mark": [
            ("packet", "reads", ALL, None),
            ("connection", "writes", ALL, None),
        ],
        "-j CONNMARK --restore-mark --nfmask 0xf0 --ctmask 0xf0": [
            ("connection", "reads", 0xF0, None),
            ("packet", "writes", 0xF0, None),
        ],
    }
    chains = "".join(f":c{number} - [0:0]\n" for number in range(len(expected)))
    lines = "".join(f"-A c{number} {rule}\n" for number, rule in enumerate(expected))
    command = f"ip{'6' if version == 6 else ''}tables-{mode}-restore"
    node.run(command, script=f"*mangle\n{chains}{lines}COMMIT\n")
    uses = node.inside(lambda: observe(DEFAULTS)).mark_uses
    for number, (rule, wanted) in enumerate(expected.items()):
        got = [
            (use.subject, use.verb, use.mask, use.value)
            for use in uses
            if use.chain == f"c{number}"
        ]
        assert got == wanted, rule


def test_where_rules_are_too_many_for_the_time_that_is_said(
    node: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.run("nft add table ip t")
    monkeypatch.setattr(others, "MOST", 0.0)
    assert doubted(node) == (
        "this node has so many firewall rules that not all were looked at for uses of our packet "
        "mark (0xff)",
    )


def test_a_kube_proxys_ten_thousand_rules_cost_a_fraction_of_a_second(node: Namespace) -> None:
    services = "".join(
        f"-A KUBE-SERVICES -d 10.96.{number // 256}.{number % 256}/32 -p tcp -m comment --comment "
        f'"ns/web{number} cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ\n'
        for number in range(10_000)
    )
    head = "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-MARK-MASQ - [0:0]\n"
    mark = "-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000\n"
    node.run("iptables-nft-restore", script=f"{head}{services}{mark}COMMIT\n")

    def cost() -> float:
        began = time.thread_time()
        assert len(observe(DEFAULTS).mark_uses) == 1
        return time.thread_time() - began

    assert min(node.inside(cost) for _ in range(3)) < 0.5


def readiness(node: Namespace, unready: Callable[[], str]) -> tuple[int, str]:
    """Status of /readyz, and why, of a server as the agent has it."""
    stop = threading.Event()
    server = HttpServer(port=0, dead=dict, unready=dict, checks={"programmed": unready})
    thread = threading.Thread(target=server.run, args=(stop,))
    node.inside(thread.start)
    try:
        eventually(server.ready)

        def ask() -> tuple[int, str]:
            with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
                connection.request("GET", "/readyz")
                answer = connection.getresponse()
                line = answer.read().decode().strip()
                return answer.status, line.partition("programmed: ")[2]

        return node.inside(ask)
    finally:
        stop.set()
        thread.join()
