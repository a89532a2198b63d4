"""The rules' text: what holds of it without a kernel."""

from ipaddress import ip_address

from outgate.vip.gate import rules
from outgate.vip.gate.frames import SPANS
from outgate.vip.gate.model import Observed


def test_no_rule_names_a_device_but_for_refreshes_the_loopback_link() -> None:
    lines = [line.split() for line in rules.install([1, 2]).splitlines()]
    named = [line for line in lines if {"iif", "oif", "iifname", "oifname", "device"} & set(line)]
    assert [line[4:7] for line in named] == [["refresh", "iif", "lo"]] * 2


def test_a_change_of_rules_takes_no_set_away() -> None:
    commands = {line.split()[0] for line in rules.install([1]).splitlines() if line[:1].isalpha()}
    assert commands == {"table", "flush", "add"}
    assert "flush set" not in rules.install([1])
    assert "flush map" not in rules.install([1])


def test_each_gateway_has_a_chain_in_both_tables_that_asks_for_its_lease() -> None:
    text = rules.install([3])
    for family in ("arp", "inet"):
        asks = "meta mark & 0x0 | 0x6f670003 @alive accept"
        assert f"add rule {family} outgate_vip gw_3 {asks}" in text


def test_a_lease_is_refreshed_by_rules_that_ask_for_fuse_and_lease_first() -> None:
    lines = [line for line in rules.install([]).splitlines() if " refreshing " in line]
    for family, source, target in (
        ("arp", "arp saddr ip", "arp daddr ip"),
        ("inet", "ip saddr", "ip daddr"),
    ):
        head = f"add rule {family} outgate_vip refreshing"
        mine = [line.removeprefix(f"{head} ") for line in lines if line.startswith(head)]
        assert mine[:4] == [
            f"{target} 0.0.0.0 update @fuse {{ {source} timeout 10ms }} drop",
            f"{source} != @fuse drop",
            "meta mark != @alive drop",
            f"{target} 0.0.0.10 update @alive {{ meta mark timeout 10ms }} drop",
        ]
        assert mine[-1] == "drop"
        assert len(mine) == len(SPANS) + 4


def test_addresses_are_written_back_wherever_they_stood() -> None:
    v4, v6 = ip_address("198.51.100.7"), ip_address("2001:db8::7")
    text = rules.contents(Observed(managed=frozenset({v4, v6}), owned={v6: 2}))
    assert text.splitlines() == [
        "add element arp outgate_vip managed4 { 198.51.100.7 }",
        "add element inet outgate_vip managed4 { 198.51.100.7 }",
        "add element inet outgate_vip managed6 { 2001:db8::7 }",
        "add element inet outgate_vip owned6 { 2001:db8::7 : goto gw_2 }",
        "add element inet outgate_vip managed_nd6 { 0x20010db8000000000000000000000007 }",
        "add element inet outgate_vip owned_nd6 { 0x20010db8000000000000000000000007 : goto gw_2 }",
    ]
