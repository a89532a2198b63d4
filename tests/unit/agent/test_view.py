"""What a node has to program: one rule of the view a test."""

from dataclasses import replace
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from unit.agent.cluster import (
    EIP4,
    EIP6,
    ID4,
    ID6,
    ID_NODE,
    LOCAL,
    cluster_policy,
    gateway,
    info,
    keyed,
    outcome,
    pod,
    policy,
    snapshot,
    tunnel,
)

from outgate.agent.holders import Claims
from outgate.agent.view import ViewMaker
from outgate.api.clusterinfo import EgressClusterInfo
from outgate.api.core import Namespace
from outgate.api.hold import Hold
from outgate.api.meta import LabelSelector, ObjectMeta
from outgate.api.policy import AppliedTo, AssignedEIP, ClusterAppliedTo, PolicyStatus
from outgate.api.tunnel import Underlay
from outgate.api.view import NO_EGRESS, HeldEgress, MeshNode, NodeView

POD4, POD6 = ip_address("10.244.1.5"), ip_address("fd00:1::5")


def view(**changes: Any) -> NodeView:
    made = outcome(**changes)
    assert made.view is not None, made.waiting
    return made.view


def test_the_whole_of_a_small_cluster() -> None:
    made = view()
    assert made.node == MeshNode(
        name="node-a",
        index=1,
        mark=0,
        mac="02:00:00:00:00:01",
        underlay=ip_address("192.0.2.1"),
        tunnel4=ip_address("198.18.192.1"),  # type: ignore[arg-type]
        tunnel6=ip_address("fd6f:7574:6761:7465::1"),  # type: ignore[arg-type]
    )
    assert [(peer.name, peer.mark, str(peer.underlay)) for peer in made.peers] == [
        ("node-b", 1, "192.0.2.2")
    ]
    assert made.inside == {ip_network("10.244.0.0/16")}
    assert made.pods == {POD4: ("shop/p",), POD6: ("shop/p",)}
    only = made.policies["shop/p"]
    assert (only.egress4, only.egress6) == (ID4, ID6)
    assert only.rank == (0, "2026-01-01T00:00:00Z", "shop/p")
    assert made.next_hops == {ID4: "node-b", ID6: "node-b"}
    assert made.held == ()
    assert made.groups == ()
    assert made.ids == {ip_address(EIP4): ID4, ip_address(EIP6): ID6}


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Failed", "Unknown", ""])
def test_only_running_pods_match(phase: str) -> None:
    assert view(pods=keyed(pod(phase=phase))).pods == {}


def test_a_pod_on_the_nodes_own_network_never_matches() -> None:
    assert view(pods=keyed(pod(host=True))).pods == {}


def test_pods_of_other_nodes_are_not_this_nodes_business() -> None:
    made = view(pods=keyed(pod(node="node-b")))
    assert (made.pods, made.policies) == ({}, {})


def test_policies_that_no_local_pod_is_under_are_left_out() -> None:
    other = policy("q", applied_to=AppliedTo(pod_selector=LabelSelector(match_labels={"x": "y"})))
    assert set(view(policies=keyed(policy(), other)).policies) == {"shop/p"}


def test_a_policy_of_another_namespace_is_about_its_own_pods_only() -> None:
    assert view(policies=keyed(policy(namespace="bank"))).pods == {}


def test_a_cluster_policy_looks_at_the_namespaces_labels() -> None:
    def selected(team: str) -> NodeView:
        selector = LabelSelector(match_labels={"team": team})
        applied_to = ClusterAppliedTo(pod_selector=LabelSelector(), namespace_selector=selector)
        return view(policies={}, cluster_policies=keyed(cluster_policy(applied_to=applied_to)))

    assert selected("red").pods[POD4] == ("all",)
    assert selected("blue").pods == {}


def test_namespaced_policies_rank_before_cluster_policies_whatever_their_age() -> None:
    made = view(cluster_policies=keyed(cluster_policy()))
    assert made.pods[POD4] == ("all", "shop/p")
    assert made.policies["shop/p"].rank < made.policies["all"].rank


@pytest.mark.parametrize(
    "status",
    [
        PolicyStatus(),
        PolicyStatus(gateway="gone", eip=AssignedEIP(ipv4=EIP4, ipv6=EIP6)),
        PolicyStatus(gateway="egw", eip=AssignedEIP(ipv4="203.0.113.199", ipv6="2001:db8:1::199")),
        PolicyStatus(gateway="egw", use_node_ip=True),
        PolicyStatus(gateway="egw", eip=AssignedEIP(ipv4="nonsense", ipv6=EIP4)),
    ],
    ids=["unanswered", "gateway gone", "address without an id", "no serving node", "malformed"],
)
def test_a_policy_that_cannot_be_honoured_is_closed(status: PolicyStatus) -> None:
    only = view(policies=keyed(policy(status=status))).policies["shop/p"]
    assert (only.egress4, only.egress6) == (NO_EGRESS, NO_EGRESS)


def test_a_family_without_an_address_is_closed() -> None:
    status = PolicyStatus(gateway="egw", eip=AssignedEIP(ipv4=EIP4))
    only = view(policies=keyed(policy(status=status))).policies["shop/p"]
    assert (only.egress4, only.egress6) == (ID4, NO_EGRESS)


def test_the_spelling_of_an_address_does_not_matter() -> None:
    written = gateway((EIP4, ID4, "node-b"), ("2001:DB8:1:0:0::100", ID6, "node-b"))
    assert view(gateways=keyed(written)).policies["shop/p"].egress6 == ID6


def test_use_node_ip_takes_the_gateways_own_id_in_both_families() -> None:
    status = PolicyStatus(gateway="egw", use_node_ip=True, eip=AssignedEIP(ipv4="192.0.2.2"))
    made = view(
        policies=keyed(policy(status=status)), gateways=keyed(gateway(("", ID_NODE, "node-b")))
    )
    only = made.policies["shop/p"]
    assert (only.egress4, only.egress6) == (ID_NODE, ID_NODE)
    assert made.next_hops == {ID_NODE: "node-b"}


def test_what_this_node_holds_is_an_address_of_one_family_or_its_own_of_both() -> None:
    entries = ((EIP4, ID4, "node-a"), (EIP6, ID6, "node-a"), ("", ID_NODE, "node-a"))
    made = view(gateways=keyed(gateway(*entries)))
    assert made.held == (
        HeldEgress(ID4, ip_address(EIP4), None),  # type: ignore[arg-type]
        HeldEgress(ID6, None, ip_address(EIP6)),  # type: ignore[arg-type]
        HeldEgress(ID_NODE, LOCAL.ipv4, None),
    )
    assert made.next_hops == {ID4: "node-a", ID6: "node-a", ID_NODE: "node-a"}


@pytest.mark.parametrize("holder", ["node-a", "node-b", ""])
def test_a_member_is_prepared_for_all_addresses_of_its_gateways_whoever_holds_them(
    holder: str,
) -> None:
    mine = gateway(
        (EIP4, ID4, holder), (EIP6, ID6, "node-b"), ("", ID_NODE, "node-b"), nodes={"node-a": True}
    )
    others = gateway(("203.0.113.9", 9, "node-b"), name="others", nodes={"node-b": True})
    made = view(gateways=keyed(mine, others))
    assert made.held == (
        HeldEgress(ID4, ip_address(EIP4), None),  # type: ignore[arg-type]
        HeldEgress(ID6, None, ip_address(EIP6)),  # type: ignore[arg-type]
    )
    assert [group.name for group in made.groups] == ["egw"]
    assert made.next_hops.get(ID4, "") == holder


def test_every_address_of_the_cluster_has_its_id_and_the_nodes_own_have_none() -> None:
    others = gateway(("203.0.113.9", 9, ""), ("", ID_NODE, "node-b"), name="others")
    made = view(gateways=keyed(gateway((EIP4, ID4, "node-b")), others))
    assert made.ids == {ip_address(EIP4): ID4, ip_address("203.0.113.9"): 9}


@pytest.mark.parametrize(
    ("claims", "hops"),
    [
        (Claims(own={}), {ID4: "node-b", ID6: "node-b"}),
        (Claims(own={ip_address(EIP4): 1}), {ID4: "node-a", ID6: "node-b"}),
        (Claims(heard={ip_address(EIP6): Hold(2, "node-c")}), {ID4: "node-b"}),
        (Claims(heard={ip_address(EIP6): Hold(0, "aaa")}), {ID4: "node-b", ID6: "node-b"}),
    ],
    ids=["as the API says", "this node's", "by whom no tunnel leads to", "older than the API's"],
)
def test_claims_lead_the_packets(claims: Claims, hops: dict[int, str]) -> None:
    made = outcome(claims=claims).view
    assert made is not None
    assert made.next_hops == hops


def test_what_this_node_still_holds_is_served_though_it_is_no_member() -> None:
    others = gateway((EIP4, ID4, ""), (EIP6, ID6, ""), nodes={"node-b": True})
    made = outcome(claims=Claims(own={ip_address(EIP4): 1}), gateways=keyed(others)).view
    assert made is not None
    # All of the gateway's: it is told to settle all of them with the others.
    assert [each.id for each in made.held] == [ID4, ID6]
    assert [group.eligible for group in made.groups] == [frozenset(["node-b"])]


@pytest.mark.parametrize(
    "peer",
    [
        None,
        tunnel("node-b", 2, mark=0),
        tunnel("node-b", 2, mark=1, underlay=Underlay()),
        tunnel("node-b", 2, mark=1, mac="00:11:22:33:44:55"),
        tunnel("node-b", 2, mark=1, ipv4="", ipv6=""),
    ],
    ids=["no tunnel", "no candidate", "agent silent", "foreign mac", "no tunnel address"],
)
def test_an_id_whose_holder_cannot_be_reached_has_no_next_hop(peer: Any) -> None:
    tunnels = keyed(tunnel("node-a", 1), *([peer] if peer else []))
    made = view(tunnels=tunnels)
    assert made.next_hops == {}
    assert made.policies["shop/p"].egress4 == ID4


def test_an_address_without_a_node_has_no_next_hop() -> None:
    assert view(gateways=keyed(gateway((EIP4, ID4, "")))).next_hops == {}


def test_marks_are_shifted_into_the_mask_and_the_reply_mark_is_nobodys() -> None:
    def mark(ordinal: int, mask: int) -> int:
        tunnels = keyed(tunnel("node-a", 1), tunnel("node-b", 2, mark=ordinal))
        made = ViewMaker().view(snapshot(tunnels=tunnels), local=replace(LOCAL, mark_mask=mask))
        assert made.view is not None
        return made.view.peers[0].mark

    assert mark(3, 0xFF) == 3
    assert mark(3, 0x0F00) == 0x0300
    assert mark(14, 0x0F00) == 0x0E00
    assert mark(15, 0x0F00) == 0
    assert mark(16, 0x0F00) == 0


def test_what_two_nodes_claim_belongs_to_this_node_then_to_the_first_by_name() -> None:
    tunnels = keyed(
        tunnel("node-a", 1),
        tunnel("aaa", 1, mac="02:00:00:00:00:99", ipv4="198.18.192.99", ipv6=""),
        tunnel("node-c", 3, mark=2),
        tunnel("node-d", 4, mark=2),
    )
    made = outcome(tunnels=tunnels)
    assert made.view is not None
    assert [peer.name for peer in made.view.peers] == ["node-c"]
    assert made.problems == (
        "EgressTunnel aaa: index 1 is given to another node too",
        "EgressTunnel node-d: mark 2 is given to another node too",
    )


def test_the_mesh_is_ipv6_where_this_node_has_no_ipv4() -> None:
    six = Underlay(interface="eth0", ipv4="192.0.2.2", ipv6="2001:db8::2")
    tunnels = keyed(tunnel("node-a", 1), tunnel("node-b", 2, underlay=six), tunnel("node-c", 3))
    local = replace(LOCAL, ipv4=None, ipv6=IPv6Address("2001:db8::1"))
    made = ViewMaker().view(snapshot(tunnels=tunnels), local=local).view
    assert made is not None
    assert made.node.underlay == ip_address("2001:db8::1")
    assert [(peer.name, str(peer.underlay)) for peer in made.peers] == [("node-b", "2001:db8::2")]


def test_inside_networks_are_collapsed_and_malformed_ones_named() -> None:
    made = outcome(cluster_infos=keyed(info("10.0.0.0/25", "10.0.0.128/25", "fd00::/64", "what")))
    assert made.view is not None
    assert made.view.inside == {ip_network("10.0.0.0/24"), ip_network("fd00::/64")}
    assert made.problems == ("EgressClusterInfo: network 'what' can't be read",)


def test_a_nodes_own_address_is_nobodys_to_take_though_it_is_an_egress_address() -> None:
    # The nodes are neighbours: collapsed, their addresses are one network.
    infos = keyed(info("192.0.2.2/32", "192.0.2.3/32"))
    entries = gateway((EIP4, ID4, "node-b"), ("192.0.2.2", ID6, "node-b"))
    made = view(cluster_infos=infos, gateways=keyed(entries))
    assert made.egress_addresses == {ip_address(EIP4)}


@pytest.mark.parametrize(
    "infos", [{}, keyed(EgressClusterInfo(metadata=ObjectMeta(name="default")))]
)
def test_while_nobody_knows_what_is_inside_nothing_is_programmed(infos: Any) -> None:
    made = outcome(cluster_infos=infos)
    assert made.view is None
    assert "EgressClusterInfo" in made.waiting


def test_an_empty_answer_about_the_inside_is_an_answer() -> None:
    assert view(cluster_infos=keyed(info(generation=1))).inside == frozenset()


def test_a_node_without_its_place_in_the_mesh_waits_for_it() -> None:
    made = outcome(tunnels=keyed(tunnel("node-b", 2)))
    assert made.view is None
    assert "EgressTunnel node-a" in made.waiting


def test_destinations_that_cannot_be_read_are_not_all_destinations() -> None:
    made = outcome(
        policies=keyed(policy(dest=("what",)), policy("q", dest=("what", "192.0.2.0/24")))
    )
    assert made.view is not None
    assert made.view.pods[POD4] == ("shop/q",)
    assert made.view.policies["shop/q"].destinations == {ip_network("192.0.2.0/24")}
    assert made.problems == ("EgressPolicy shop/p: destSubnet has no network that can be read",)


def test_malformed_entries_of_a_gateway_do_not_stop_the_others() -> None:
    entries = (("what", 5, "node-b"), ("203.0.113.101", ID4, "node-b"), (EIP4, ID4, "node-b"))
    made = outcome(gateways=keyed(gateway((EIP6, ID6, "node-b"), name="b"), gateway(*entries)))
    assert made.view is not None
    assert made.view.next_hops == {ID4: "node-b", ID6: "node-b"}
    assert made.problems == (
        f"EgressGateway egw: address '203.0.113.100' has egress id {ID4}, which is given already",
        "EgressGateway egw: address 'what' is none",
    )


def test_an_address_that_two_pods_claim_belongs_to_the_one_that_stays() -> None:
    leaving = pod("old", labels={"app": "db"}, deleted="2026-01-02T00:00:00Z", created="2026-01-09")
    assert view(pods=keyed(leaving, pod())).pods[POD4] == ("shop/p",)
    younger = pod("new", labels={"app": "db"}, created="2026-01-09")
    other = policy("q", applied_to=AppliedTo(pod_selector=LabelSelector()))
    assert view(pods=keyed(younger, pod()), policies=keyed(policy(), other)).pods[POD4] == (
        "shop/q",
    )


def test_a_namespace_that_is_not_known_selects_nothing_by_label() -> None:
    selector = LabelSelector(match_labels={"team": "red"})
    applied_to = ClusterAppliedTo(pod_selector=LabelSelector(), namespace_selector=selector)
    made = view(
        policies={}, namespaces={}, cluster_policies=keyed(cluster_policy(applied_to=applied_to))
    )
    assert made.pods == {}


def test_labels_of_a_namespace_that_change_are_seen() -> None:
    selector = LabelSelector(match_labels={"team": "red"})
    applied_to = ClusterAppliedTo(pod_selector=LabelSelector(), namespace_selector=selector)
    base = snapshot(policies={}, cluster_policies=keyed(cluster_policy(applied_to=applied_to)))
    maker = ViewMaker()
    before = maker.view(base, local=LOCAL).view
    blue = keyed(Namespace(metadata=ObjectMeta(name="shop", labels={"team": "blue"})))
    after = maker.view(replace(base, namespaces=blue), local=LOCAL).view
    assert before is not None and after is not None
    assert (len(before.pods), len(after.pods)) == (2, 0)
