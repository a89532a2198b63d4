"""What keeps the agent from a node, and what it only mentions."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Literal

import pytest

from outgate.agent.clashes import clashes, doubts, rule_priorities, tables
from outgate.agent.node_state import (
    ALL_BITS,
    Device,
    MarkUse,
    NodeState,
    OtherRoute,
    OtherRule,
    UdpSocket,
)
from outgate.api.view import DataPathSettings

OURS = DataPathSettings()
VXLAN = Device("vxlan.calico", "vxlan", vni=4096, port=4789)
FLANNEL = Device("flannel.1", "vxlan", vni=1, port=8472)


def use(
    verb: Literal["reads", "writes"],
    mask: int,
    value: int | None = None,
    *,
    table: str = "ip mangle",
    chain: str = "PREROUTING",
    comment: str = "",
    subject: Literal["packet", "connection"] = "packet",
) -> MarkUse:
    return MarkUse(table, chain, subject, verb, mask, value, comment)


def rule(priority: int = 1000, **changes: object) -> OtherRule:
    return replace(OtherRule(4, priority, f"{priority}: …"), **changes)  # type: ignore[arg-type]


HARMLESS = {
    "an empty node": NodeState(),
    "another vxlan port, even with our VNI": NodeState(
        devices=(VXLAN, replace(FLANNEL, vni=OURS.vni))
    ),
    "our own device": NodeState(
        devices=(Device("outgate", "vxlan", vni=7789, port=7789, gbp=True),),
        sockets=(UdpSocket(ip_address("0.0.0.0"), 7789), UdpSocket(ip_address("::"), 7789)),
    ),
    "our device of other settings": NodeState(
        devices=(Device("outgate", "vxlan", vni=5, port=9000, gbp=True),)
    ),
    "a bridge on no port": NodeState(devices=(Device("br7", "bridge", port=7789),)),
    "another port's socket": NodeState(sockets=(UdpSocket(ip_address("0.0.0.0"), 53),)),
    "routes beside our tables": NodeState(
        routes=(OtherRoute(7699, 4, "r"), OtherRoute(7956, 4, "r"))
    ),
    "the system's ip rules": NodeState(
        rules=(rule(0, table=255), rule(32766, table=254), rule(87), rule(92))
    ),
    "marks of other bits": NodeState(
        rules=(rule(mark=0x80000, mask=0xFF0000), rule(mark=0x200, mask=0xF00)),
        mark_uses=(
            use("reads", 0x4000, 0x4000),
            use("writes", 0xFFFF0000, 0),
            use("reads", ALL_BITS, 0x4000),
        ),
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_cannot_meet_us_is_neither_a_clash_nor_a_doubt(name: str) -> None:
    assert clashes(HARMLESS[name], OURS) == ()
    assert doubts(HARMLESS[name], OURS) == ()


PORT = "choose another port, on all nodes, with feature.vxlan.port (--vxlan-port)"
TABLES = "choose other tables with datapath.tableBase (--table-base)"
PRIORITY = "choose another priority with datapath.rulePriority (--rule-priority)"
MASK = "choose other bits with datapath.markMask (--mark-mask)"

CLASHES = {
    "geneve": (
        NodeState(devices=(Device("genev_sys_7789", "geneve", port=7789),)),
        f"UDP port 7789 is taken by the device genev_sys_7789 (Geneve, port 7789): {PORT}",
    ),
    "a physical device of our name": (
        NodeState(devices=(Device("outgate", ""),)),
        "there is a device outgate that Outgate has not made (a physical one), and Outgate's has "
        "to be called so: rename or remove it",
    ),
    "a process beside our own device": (
        NodeState(
            devices=(Device("outgate", "vxlan", vni=7789, port=7789, gbp=True),),
            sockets=(UdpSocket(ip_address("192.0.2.1"), 7789, "dnsd (process 7)"),),
        ),
        f"UDP port 7789 is taken by dnsd (process 7), at 192.0.2.1: {PORT}",
    ),
    "keepalived's routes": (
        NodeState(routes=(OtherRoute(7955, 18, "default dev eth0 table 7955 proto keepalived"),)),
        "routing table 7955, one of ours, has a route of proto keepalived by keepalived "
        f'("default dev eth0 table 7955 proto keepalived"): {TABLES}',
    ),
    "a rule to our table": (
        NodeState(rules=(rule(1000, table=7701),)),
        f'the ip rule "1000: …" leads to table 7701, one of ours: {TABLES}',
    ),
    "a rule at our priority": (
        NodeState(rules=(rule(91, version=6),)),
        f'the ip -6 rule "91: …" stands at a priority of ours (88 to 91): {PRIORITY}',
    ),
    "tailscale's rule under a wide mask": (
        NodeState(rules=(rule(5210, mark=0x80000, mask=0xFF00FF),)),
        'bits 0xff of our packet mark (0xff) are asked for by the ip rule "5210: …": ' + MASK,
    ),
    "a whole mark that is one of ours": (
        NodeState(rules=(rule(100, mark=0x1, mask=ALL_BITS),)),
        f'bits 0xff of our packet mark (0xff) are asked for by the ip rule "100: …": {MASK}',
    ),
    "antrea's egress": (
        NodeState(
            mark_uses=(
                use("reads", 0xFF, 0x1, table="ip nat", chain="ANTREA-POSTROUTING"),
                use("reads", 0xFF, 0x2, table="ip nat", chain="ANTREA-POSTROUTING"),
                use("writes", 0xFF, 0x2, table="ip nat", chain="ANTREA-POSTROUTING"),
            )
        ),
        "bits 0xff of our packet mark (0xff) are used by Antrea (table ip nat, chain "
        "ANTREA-POSTROUTING asks for the packet mark 0x1/0xff and 2 more rules): " + MASK,
    ),
    "a mark of ours, set whole": (
        NodeState(mark_uses=(use("writes", ALL_BITS, 0x2),)),
        "bits 0xff of our packet mark (0xff) are used (table ip mangle, chain PREROUTING sets the "
        f"packet mark 0x2): {MASK}",
    ),
}


@pytest.mark.parametrize("name", CLASHES)
def test_a_clash_names_the_owner_and_the_setting(name: str) -> None:
    seen, said = CLASHES[name]
    assert clashes(seen, OURS) == (said,)


def test_each_owner_is_named_once_and_all_clashes_are_said() -> None:
    seen = NodeState(
        devices=(replace(VXLAN, port=OURS.port),),
        rules=(rule(90, table=7701, mark=0x80, mask=0x80),),
        mark_uses=(
            use("writes", 0x80, 0x80, chain="AWS-CONNMARK-CHAIN-0"),
            use("reads", 0x80, 0x80, comment="AWS, primary ENI"),
            use("writes", 0x8, 0x8, table="inet lb", chain="pre"),
        ),
    )
    said = clashes(seen, OURS)
    assert len(said) == 6
    assert sum("used by AWS VPC CNI" in each for each in said) == 1
    assert sum("table inet lb, chain pre" in each for each in said) == 1


DOUBTS = {
    "the whole mark restored": (
        use("writes", ALL_BITS),
        "table ip mangle, chain PREROUTING sets the whole packet mark: our bits go with it",
    ),
    "the whole mark cleared": (
        use("writes", ALL_BITS, 0, chain="ISTIO_OUTPUT"),
        "Istio: table ip mangle, chain ISTIO_OUTPUT sets the packet mark 0x0: our bits go with it",
    ),
    "istio's mark": (
        use("writes", ALL_BITS, 0x539, chain="ISTIO_TPROXY"),
        "Istio: table ip mangle, chain ISTIO_TPROXY sets the packet mark 0x539: our bits go with",
    ),
    "a whole mark that has bits of ours and others": (
        use("reads", ALL_BITS, 0x539),
        "table ip mangle, chain PREROUTING asks for the packet mark 0x539: with bits of ours",
    ),
    "whether there is any mark": (
        use("reads", ALL_BITS, 0),
        "table ip mangle, chain PREROUTING asks for the packet mark 0x0: with bits of ours",
    ),
    "the connection mark, matched": (
        use("reads", 0x80, 0x80, subject="connection"),
        "table ip mangle, chain PREROUTING asks for the connection mark 0x80/0x80: on flows that",
    ),
    "the connection mark, saved": (
        use("writes", 0xFF0000, subject="connection", chain="ts-forward"),
        "Tailscale: table ip mangle, chain ts-forward sets bits 0xff0000 of the connection mark: "
        "on flows that Outgate steers all 32 bits are Outgate's",
    ),
}


@pytest.mark.parametrize("name", DOUBTS)
def test_what_need_not_meet_us_is_a_doubt_and_no_clash(name: str) -> None:
    found, begins = DOUBTS[name]
    seen = NodeState(mark_uses=(found,))
    assert clashes(seen, OURS) == ()
    (said,) = doubts(seen, OURS)
    assert said.startswith(begins)


def test_a_whole_mark_of_an_ip_rule_that_has_bits_of_ours_is_a_doubt() -> None:
    seen = NodeState(rules=(rule(32765, mark=0xCA6C, mask=ALL_BITS),))
    assert clashes(seen, OURS) == ()
    (said,) = doubts(seen, OURS)
    assert said.startswith('the ip rule "32765: …" asks for a whole mark that has bits of ours')


def test_rules_that_were_not_all_read_are_a_doubt() -> None:
    (said,) = doubts(NodeState(all_rules=False), OURS)
    assert "not all were looked at" in said


@pytest.mark.parametrize("mask", [0x3F00, 0xF000, 0xFF])
def test_the_mask_in_use_decides(mask: int) -> None:
    settings = replace(OURS, mark_mask=mask)
    seen = NodeState(mark_uses=(use("reads", 0x4000, 0x4000, chain="KUBE-FORWARD"),))
    assert bool(clashes(seen, settings)) == bool(mask & 0x4000)


def test_our_tables_and_priorities_follow_the_settings() -> None:
    settings = replace(OURS, mark_mask=0x3F00, table_base=100, rule_priority=50)
    assert tables(settings) == range(100, 164)
    assert list(rule_priorities(settings)) == [48, 49, 50, 51]
