"""By what names others are known."""

import pytest

from outgate.agent.owners import owner_of_chain, owner_of_mark, owner_of_routes, protocol_name


@pytest.mark.parametrize(
    ("table", "chain", "comment", "owner"),
    [
        ("ip nat", "KUBE-SERVICES", "", "kube-proxy"),
        ("ip kube-proxy", "services", "", "kube-proxy"),
        ("ip filter", "KUBE-POD-FW-X", "", "kube-router"),
        ("ip filter", "cali-FORWARD", "", "Calico"),
        ("ip mangle", "FORWARD", "cali:KX7AGNd6rMcDUai6", "Calico"),
        ("ip nat", "FLANNEL-POSTRTG", "", "flannel"),
        ("ip flannel-ipv4", "postrtg", "", "flannel"),
        ("ip mangle", "CILIUM_PRE_mangle", "", "Cilium"),
        ("ip mangle (iptables-legacy)", "PREROUTING", "AWS, primary ENI", "AWS VPC CNI"),
        ("ip nat", "WEAVE", "", "Weave Net"),
        ("ip filter", "ts-forward", "", "Tailscale"),
        ("inet mine", "PREROUTING", "to the proxy", ""),
    ],
)
def test_a_rule_is_known_by_its_chain_its_table_or_its_comment(
    table: str, chain: str, comment: str, owner: str
) -> None:
    assert owner_of_chain(table, chain, comment) == owner


def test_marks_and_protocols_have_owners_too() -> None:
    assert owner_of_mark(0x80, 0x80) == "AWS VPC CNI"
    assert owner_of_mark(0x80000, 0xFF0000) == "Tailscale"
    assert owner_of_mark(0x1, 0x1) == ""
    assert owner_of_routes(80) == "Calico"
    assert owner_of_routes(4) == ""


def test_a_protocol_without_a_name_is_its_number() -> None:
    assert (protocol_name(12), protocol_name(80)) == ("bird", "80")
