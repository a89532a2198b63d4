"""The rules' text: what holds of it without a kernel."""

from ipaddress import ip_address

from outgate.vip.gate import rules
from outgate.vip.gate.model import Observed


def test_no_rule_names_a_device() -> None:
    text = rules.install([1, 2])
    assert not {"iif", "oif", "iifname", "oifname", "device"} & set(text.split())


def test_a_change_of_rules_takes_no_set_away() -> None:
    commands = {line.split()[0] for line in rules.install([1]).splitlines() if line[:1].isalpha()}
    assert commands == {"table", "flush", "add"}
    assert "flush set" not in rules.install([1])
    assert "flush map" not in rules.install([1])


def test_each_gateway_has_a_lease_and_a_chain_in_both_tables() -> None:
    text = rules.install([3])
    for family in ("arp", "inet"):
        assert f"add set {family} outgate_vip alive_3" in text
        assert f"add rule {family} outgate_vip gw_3 meta protocol @alive_3 accept" in text


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
