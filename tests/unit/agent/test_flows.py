"""Which running flows have to start anew after a change."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from unit.agent.cluster import (
    EIP4,
    EIP6,
    ID4,
    ID6,
    LOCAL,
    gateway,
    keyed,
    pod,
    policy,
    snapshot,
    tunnel,
)

from outgate.agent.flows import Flow, purge, stale
from outgate.agent.view import ViewMaker
from outgate.api.view import NodeView
from outgate.rules import words

POD, POD6 = ip_address("10.244.1.5"), ip_address("fd00:1::5")
OUT, OUT6 = ip_address("198.51.100.9"), ip_address("2001:db8:2::9")
NODE = ip_address("192.0.2.1")
INSIDE = ip_address("10.244.2.7")
BOTH = {"node-a": True, "node-b": True}


def view(**changes: Any) -> NodeView:
    made = ViewMaker().view(snapshot(**changes), local=LOCAL).view
    assert made is not None
    return made


def member(holder: str) -> NodeView:
    """Of node-a, which is a member of the gateway; that node holds the addresses."""
    return view(gateways=keyed(gateway((EIP4, ID4, holder), (EIP6, ID6, holder), nodes=BOTH)))


HERE, THERE = member("node-a"), member("node-b")


def tunnelled(id_: int = ID4, **changes: Any) -> Flow:
    return replace(Flow(POD, OUT, POD, id_ << 16), **changes)


def gone(before: NodeView | None, after: NodeView, *flows: Flow) -> list[Flow]:
    return list(stale(flows, purge(before, after), after))


def test_nothing_is_looked_at_when_nothing_changed() -> None:
    assert not purge(view(), view())


def test_masqueraded_flows_of_a_newly_matched_pod_go() -> None:
    masqueraded = Flow(POD, OUT, NODE, 0)
    assert gone(view(policies={}), view(), masqueraded) == [masqueraded]


def test_flows_of_a_deleted_policy_go() -> None:
    assert gone(view(), view(policies={}), tunnelled()) == [tunnelled()]


def test_flows_of_a_changed_address_go_and_flows_of_the_new_one_stay() -> None:
    other = keyed(gateway((EIP4, 77, "node-b"), (EIP6, ID6, "node-b")))
    new = tunnelled(77)
    assert gone(view(), view(gateways=other), tunnelled(), new) == [tunnelled()]


def test_flows_to_destinations_that_a_policy_no_longer_names_go() -> None:
    narrow = keyed(policy(dest=("203.0.113.0/24",)))
    assert gone(view(), view(policies=narrow), tunnelled()) == [tunnelled()]
    kept = tunnelled(destination=ip_address("203.0.113.9"))
    assert gone(view(), view(policies=narrow), kept) == []


@pytest.mark.parametrize("destination", ["10.244.2.7", "169.254.169.254", "224.0.0.251"])
def test_flows_that_the_rules_never_touch_stay(destination: str) -> None:
    flow = Flow(POD, ip_address(destination), POD, 0)
    assert gone(view(policies={}), view(), flow) == []


def test_flows_of_other_pods_stay_whatever_their_mark() -> None:
    theirs = Flow(ip_address("10.244.1.99"), OUT, NODE, 0x00500000)
    assert gone(view(policies={}), view(), theirs) == []
    assert gone(None, view(), theirs) == []


def test_a_move_of_the_address_between_other_nodes_touches_no_flow() -> None:
    tunnels = keyed(tunnel("node-a", 1), tunnel("node-b", 2, mark=1), tunnel("node-c", 3, mark=2))
    before = view(tunnels=tunnels)
    moved = keyed(gateway((EIP4, ID4, "node-c"), (EIP6, ID6, "node-c")))
    assert not purge(before, view(tunnels=tunnels, gateways=moved))


@pytest.mark.parametrize("way", ["comes", "goes"])
def test_an_address_that_moves_between_members_touches_no_flow(way: str) -> None:
    # The vip processes hand its flows over, and bind local pods' anew.
    before, after = (THERE, HERE) if way == "comes" else (HERE, THERE)
    assert not purge(before, after)
    theirs = Flow(ip_address("10.244.9.9"), OUT, ip_address(EIP4), ID4 << 16 | 2)
    assert gone(before, after, theirs) == []


def test_a_member_whose_address_moves_between_others_touches_no_flow() -> None:
    elsewhere = replace(THERE, next_hops={ID4: "node-c"})
    assert not purge(THERE, elsewhere)


@pytest.mark.parametrize("before", ["holding", "standing by"])
def test_what_this_node_will_never_hold_again_goes_wholly(before: str) -> None:
    had = HERE if before == "holding" else THERE
    assert purge(had, view()).marks == (
        (ID4 << 16, 0xFFFF0000),
        (ID6 << 16, 0xFFFF0000),
    )


def test_an_address_given_another_id_takes_all_flows_of_the_old_one_along() -> None:
    other = view(gateways=keyed(gateway((EIP4, 77, "node-a"), (EIP6, ID6, "node-a"), nodes=BOTH)))
    assert purge(HERE, other).marks == ((ID4 << 16, 0xFFFF0000),)


def test_an_id_given_to_another_address_starts_all_its_flows_anew() -> None:
    entries = (("203.0.113.177", ID4, "node-a"), (EIP6, ID6, "node-a"))
    other = view(gateways=keyed(gateway(*entries, nodes=BOTH)))
    assert purge(HERE, other).marks == ((ID4 << 16, 0xFFFF0000),)


def test_becoming_a_member_touches_no_flow_and_ceasing_to_be_one_only_those_here() -> None:
    assert not purge(view(), THERE)
    one = view(gateways=keyed(gateway((EIP4, ID4, "node-b"), nodes=BOTH)))
    assert purge(THERE, one).marks == ((ID6 << 16, 0xFFFF0000),)


def test_the_nodes_own_address_that_another_serves_now_takes_all_flows_along() -> None:
    # Nobody stands by for it: it is another node's own.
    def own(node: str) -> NodeView:
        return view(gateways=keyed(gateway(("", 9, node), nodes=BOTH)))

    assert purge(own("node-a"), own("node-b")).marks == ((9 << 16, 0xFFFF0000),)
    # Nobody hands these over: local pods' flows are bound for a tunnel that they no longer take.
    assert purge(own("node-b"), own("node-a")).marks == ((9 << 16 | words.LOCAL, 0xFFFF8000),)


def test_a_restart_keeps_what_agrees() -> None:
    agreeing = [tunnelled(), Flow(POD6, OUT6, POD6, ID6 << 16), Flow(POD, INSIDE, POD, 0)]
    assert gone(None, view(), *agreeing) == []


def test_a_restart_finds_what_changed_meanwhile() -> None:
    changed = [tunnelled(55), Flow(POD, OUT, NODE, 0), tunnelled(bound=ip_address(EIP4))]
    assert gone(None, view(), *changed) == changed


def test_a_restart_finds_pods_that_only_the_old_rules_knew() -> None:
    old = ip_address("10.244.1.77")
    flow = Flow(old, OUT, old, ID4 << 16)
    after = view()
    assert list(stale([flow], purge(None, after, left=[old]), after)) == [flow]


def test_a_restart_finds_tunnel_flows_of_ids_that_it_no_longer_holds() -> None:
    remote = ip_address("10.244.9.9")
    orphan = Flow(remote, OUT, ip_address(EIP4), ID4 << 16 | 2)
    assert gone(None, view(), orphan) == [orphan]
    assert gone(None, HERE, orphan) == []
    # A member may get it back.
    assert gone(None, THERE, orphan) == []


def test_a_local_pods_flow_here_is_bound_to_the_egress_address() -> None:
    right = tunnelled(bound=ip_address(EIP4))
    assert gone(None, HERE, right) == []
    assert gone(None, HERE, tunnelled()) == [tunnelled()]


def test_a_local_pods_flow_of_a_member_that_does_not_hold_goes_through_the_tunnel() -> None:
    bound = tunnelled(bound=ip_address(EIP4))
    assert gone(None, THERE, bound, tunnelled()) == [bound]


def test_a_pod_that_changes_policies_is_looked_at_and_its_neighbour_is_not() -> None:
    two = keyed(pod(), pod("db", labels={"app": "db"}, ips=("10.244.1.6",)))
    one = keyed(pod(labels={"app": "other"}), two["shop", "db"])
    assert purge(view(pods=two), view(pods=one)).pods == {POD, POD6}
