"""What a node programs, and what it leaves to others."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_address

from views import FIRST, SECOND, SETTINGS, SMALL, SMALL_GATEWAY, WORKER, mesh_node, ruleset

from outgate.api.view import HeldEgress, NodeView
from outgate.rules.model import Elements


def elements(view: NodeView, name: str) -> Elements:
    return ruleset(view, SETTINGS).tables["inet"].sets[name].elements


def classes(view: NodeView, version: int) -> list[str]:
    chains = ruleset(view, SETTINGS).tables["inet"].chains
    return [name for name in chains if name.startswith(f"class{version}_")]


def test_an_id_leads_to_the_gateway_that_holds_it() -> None:
    assert elements(SMALL, "next_hop") == {(0x10000,): "goto via_1", (0x20000,): "goto via_2"}


def test_an_id_that_this_node_holds_leads_here() -> None:
    assert elements(SMALL_GATEWAY, "next_hop")[(0x10000,)] == "goto here"


def test_an_id_held_by_an_unknown_node_leads_nowhere() -> None:
    assert elements(replace(SMALL, next_hops={1: "node-99"}), "next_hop") == {}


def test_an_id_held_by_a_node_that_is_no_candidate_leads_nowhere() -> None:
    plain = mesh_node(9)
    view = replace(SMALL, peers=(*SMALL.peers, plain), next_hops={1: plain.name})

    assert elements(view, "next_hop") == {}


def test_a_pod_under_no_policy_has_no_class() -> None:
    view = replace(SMALL, pods={ip_address("10.244.1.5"): ()})

    assert elements(view, "class4") == {}


def test_pods_under_the_same_policies_share_a_class() -> None:
    pods = {ip_address(f"10.244.1.{number}"): ("cluster/all",) for number in range(50)}
    view = replace(SMALL, pods=pods)

    assert len(set(elements(view, "class4").values())) == 1
    assert len(classes(view, 4)) == 1


def test_a_class_without_ipv6_pods_takes_no_room_there() -> None:
    view = replace(SMALL, pods={ip_address("10.244.1.5"): ("cluster/all",)})

    assert classes(view, 4) and not classes(view, 6)


def test_a_worker_knows_gateways_a_gateway_knows_everybody() -> None:
    other = mesh_node(9)
    worker = replace(SMALL, peers=(FIRST, SECOND, other))
    gateway = replace(SMALL_GATEWAY, peers=(WORKER, SECOND, other))

    assert set(elements(worker, "underlay4")) == {(int(peer.underlay),) for peer in (FIRST, SECOND)}
    assert set(elements(gateway, "underlay4")) == {
        (int(peer.underlay),) for peer in (WORKER, SECOND, other)
    }


def test_an_id_without_an_address_of_a_family_is_not_held_in_it() -> None:
    view = replace(SMALL_GATEWAY, held=(HeldEgress(5, IPv4Address("198.51.100.9"), None),))

    assert (5 << 16,) in elements(view, "held4")
    assert (5 << 16,) not in elements(view, "held6")
    assert elements(view, "bound6") == {}


def test_only_candidates_with_the_reply_route_have_a_netdev_table() -> None:
    without = replace(SETTINGS, reply_route=False)

    assert "netdev" in ruleset(SMALL_GATEWAY, SETTINGS).tables
    assert "netdev" not in ruleset(SMALL, SETTINGS).tables
    assert "netdev" not in ruleset(SMALL_GATEWAY, without).tables


def test_the_mark_keeps_to_its_mask() -> None:
    settings = replace(SETTINGS, mark_mask=0x3F00)
    view = replace(SMALL, peers=(replace(FIRST, mark=0x0100),))

    chain = ruleset(view, settings).tables["inet"].chains["via_100"]

    assert chain.rules[-1] == "meta mark set meta mark & 0xffffc0ff | 0x100"


def test_the_segment_size_leaves_room_for_the_headers() -> None:
    chain = ruleset(SMALL, replace(SETTINGS, mtu=1400)).tables["inet"].chains["mss"]

    assert "1360" in chain.rules[0] and "1340" in chain.rules[1]
