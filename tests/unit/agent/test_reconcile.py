"""The pass, on a node in memory: order, failures, restarts."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from unit.agent.cluster import EIP4, EIP6, ID4, ID6, gateway, keyed, pod, policy, snapshot, tunnel
from unit.agent.node import Node

from outgate.agent.apply import addresses_of
from outgate.agent.flows import Flow
from outgate.agent.holders import Claims
from outgate.agent.node_state import ALL_BITS, Device, MarkUse, NodeState
from outgate.agent.reconcile import Pace
from outgate.agent.report import report_of
from outgate.api.hold import Hold
from outgate.api.view import NodeView
from outgate.daemon.backoff import Backoff
from outgate.rules.model import AddElements, DeleteElements, DeleteTable, Transaction
from outgate.rules.plan import plan as rules_plan
from outgate.tunnel.model import Delete
from outgate.tunnel.underlay import Interface

MEMBERS = {"node-a": True, "node-b": True}
HERE = keyed(gateway((EIP4, ID4, "node-a"), (EIP6, ID6, "node-a"), nodes=MEMBERS))
THERE = keyed(gateway((EIP4, ID4, "node-b"), (EIP6, ID6, "node-b"), nodes=MEMBERS))
ELSEWHERE = keyed(gateway((EIP4, ID4, "node-b"), (EIP6, ID6, "node-b"), nodes={"node-b": True}))
FOUR, SIX = ip_address(EIP4), ip_address(EIP6)
POD, OUT = ip_address("10.244.1.5"), ip_address("198.51.100.9")
OTHER = "203.0.113.200"
CANDIDATE = keyed(tunnel("node-a", 1, mark=2), tunnel("node-b", 2, mark=1))


def test_nothing_is_written_before_all_stores_have_synced() -> None:
    node = Node()
    node.source.missing = ("pods", "cluster_infos")
    node.reconciler.step()
    assert node.log == []
    assert node.reconciler.unready() == "waiting for the API: pods, cluster_infos"
    node.source.missing = ()
    node.reconciler.step()
    assert node.reconciler.unready() == ""


def test_nothing_is_written_while_the_inside_is_unknown() -> None:
    node = Node(cluster_infos={})
    node.reconciler.step()
    assert node.log == []
    assert "EgressClusterInfo" in node.reconciler.unready()


@pytest.mark.parametrize("gateways", [HERE, THERE], ids=["holder", "standing by"])
def test_the_device_comes_before_the_rules_and_the_rules_before_the_word(gateways: Any) -> None:
    node = Node(gateways=gateways)
    node.reconciler.step()
    # Whoever holds them: a member is ready for all addresses before it may be given one.
    assert node.log == ["mesh +", "rules", f"tell {EIP4} {EIP6}"]
    assert {held.id for held in _view(node).held} == {ID4, ID6}


def test_ceasing_to_be_a_member_goes_the_other_way() -> None:
    node = Node(gateways=HERE)
    node.reconciler.step()
    written = node.change(tunnels=keyed(tunnel("node-a", 1)), gateways=ELSEWHERE)
    assert written == ["tell", "rules", "tell", "mesh -"]


@pytest.mark.parametrize(
    ("entries", "written"),
    [
        (((EIP4, ID4),), [f"tell {EIP4}", "rules", f"tell {EIP4}"]),
        (((EIP4, ID4), (EIP6, ID6), (OTHER, 5)), ["rules", f"tell {EIP4} {OTHER} {EIP6}"]),
        (((EIP4, ID4), (OTHER, 5)), [f"tell {EIP4}", "rules", f"tell {EIP4} {OTHER}"]),
        (((OTHER, 5),), ["tell", "rules", f"tell {OTHER}"]),
    ],
    ids=["one goes", "one comes", "one for another", "all for others"],
)
def test_before_the_rules_only_what_both_serve_is_said_and_all_of_it_after(
    entries: tuple[tuple[str, int], ...], written: list[str]
) -> None:
    node = Node(gateways=HERE)
    node.reconciler.step()
    changed = gateway(*((address, id_, "node-a") for address, id_ in entries), nodes=MEMBERS)
    assert node.change(gateways=keyed(changed)) == written


def test_a_node_that_is_no_member_any_more_serves_what_it_holds_until_it_has_handed_it_over() -> (
    None
):
    node = Node(gateways=HERE)
    node.claims = Claims(own={FOUR: 3})
    node.reconciler.step()
    node.change(gateways=ELSEWHERE)
    word = node.vip.word
    assert word is not None and word.groups[0].eligible == ("node-b",)
    assert FOUR in addresses_of(_view(node).held)
    node.claims = Claims(own={}, heard={FOUR: Hold(4, "node-b")})
    assert node.change(gateways=ELSEWHERE) == ["tell", "rules", "tell"]
    assert _view(node).held == ()


def test_the_nodes_own_address_is_not_for_the_vip_process() -> None:
    node = Node(gateways=keyed(gateway(("", 9, "node-a"), nodes=MEMBERS)))
    node.reconciler.step()
    assert node.vip.addresses == ()
    assert [held.id for held in _view(node).held] == [9]


def test_a_gateway_candidate_is_told_to_stand_by() -> None:
    node = Node(tunnels=CANDIDATE)
    node.reconciler.step()
    word = node.vip.word
    assert word is not None and (word.standby, word.interface) == (True, "eth0")


def test_an_address_that_moves_is_one_map_element_and_no_other_word() -> None:
    node = Node(gateways=THERE, tunnels=CANDIDATE)
    node.claims = Claims(own={})
    node.reconciler.step()
    word = node.vip.word
    for claims in (
        Claims(own={FOUR: 5}),
        Claims(own={}, heard={FOUR: Hold(6, "node-b")}),
    ):
        node.nft.written.clear()
        node.claims = claims
        assert node.change(gateways=THERE, tunnels=CANDIDATE) == ["rules", f"tell {EIP4} {EIP6}"]
        (transaction,) = node.nft.written
        assert not transaction.before and not transaction.after
        gone, come = transaction.operations
        assert isinstance(gone, DeleteElements) and isinstance(come, AddElements)
        assert gone.set == come.set == "next_hop"
        assert set(gone.keys) == set(come.elements) == {(ID4 << 16,)}
        assert node.nft.observe() == _planned(node)
        assert node.vip.word == word


def test_what_is_claimed_is_followed_at_once() -> None:
    node = Node(gateways=THERE, tunnels=CANDIDATE)
    node.reconciler._pace = Pace(coalesce=0.0, news=60.0, drift=60.0)
    with _running(node):
        _eventually(node.reconciler.ready)
        node.claims = Claims(own={FOUR: 5})
        node.reconciler.claimed()
        _eventually(lambda: _view(node).next_hops == {ID4: "node-a", ID6: "node-b"})


def test_a_pass_without_news_writes_nothing() -> None:
    node = Node()
    node.reconciler.step()
    node.log.clear()
    node.reconciler.step()
    assert node.log == []


def test_a_refused_ruleset_is_tried_again_whole_and_reported_meanwhile() -> None:
    node = Node()
    node.reconciler.step()
    node.nft.refuse = True
    node.change(pods=keyed(pod(), pod("two", ips=("10.244.1.9",))))
    assert node.reconciler.unready() == "change table outgate: no"
    node.nft.refuse = False
    node.reconciler.step()
    assert node.reconciler.ready()
    assert node.nft.observe() == _planned(node)


def test_an_interrupted_mesh_is_finished_from_where_it_stands() -> None:
    whole = Node()
    whole.reconciler.step()
    for after in range(6):
        node = Node()
        node.mesh.refuse_after = after
        node.reconciler.step()
        assert not node.reconciler.ready()
        assert "rules" not in node.log
        node.mesh.refuse_after = None
        node.reconciler.step()
        assert node.mesh.observe() == whole.mesh.observe()


def test_a_restart_on_the_same_kernel_leaves_what_is_right() -> None:
    node = Node()
    node.reconciler.step()
    node.log.clear()
    node.restart()
    node.reconciler.step()
    assert node.log == ["tell"]


def test_a_restart_adopts_or_removes_what_a_dead_agent_left() -> None:
    node = Node()
    node.reconciler.step()
    node.restart()
    node.change(tunnels=keyed(tunnel("node-a", 1), tunnel("node-c", 3, mark=2)))
    fresh = Node(tunnels=keyed(tunnel("node-a", 1), tunnel("node-c", 3, mark=2)))
    fresh.reconciler.step()
    assert node.mesh.observe() == fresh.mesh.observe()


def test_the_device_made_anew_gets_its_chain_back() -> None:
    node = Node(tunnels=CANDIDATE)
    node.reconciler.step()
    observed = node.nft.observe()
    assert observed is not None and "netdev" in observed.tables
    node.interfaces = (Interface("eth0", 1500, (ip_address("192.0.2.77"),)),)
    node.now += 60.0
    seen: list[object] = []
    apply = node.nft.apply

    def watched(transaction: object) -> None:
        seen.append(transaction)
        apply(transaction)  # type: ignore[arg-type]

    node.nft.apply = watched  # type: ignore[method-assign]
    node.reconciler.step()
    link = node.mesh.observe().link
    assert link is not None and link.local == ip_address("192.0.2.77")
    assert "AddTable(table=Table(family='netdev'" in repr(seen)


def test_a_new_mtu_changes_the_device_and_the_clamp() -> None:
    node = Node()
    node.reconciler.step()
    node.interfaces = (Interface("eth0", 9000, (ip_address("192.0.2.1"),)),)
    node.now += 60.0
    node.reconciler.step()
    link = node.mesh.observe().link
    assert link is not None and link.mtu == 8950


def test_without_an_underlay_the_node_says_why() -> None:
    node = Node()
    node.interfaces = ()
    node.reconciler.step()
    assert node.log == []
    assert "no interface eth0" in node.reconciler.unready()


def test_what_the_node_lacks_is_said_before_anything_is_written() -> None:
    node = Node()
    node.lacks = ("net.ipv4.ip_forward is 0", "CAP_NET_ADMIN is missing")
    node.reconciler.step()
    assert node.log == []
    assert node.reconciler.unready() == "net.ipv4.ip_forward is 0; CAP_NET_ADMIN is missing"
    node.lacks = ()
    node.reconciler.step()
    assert node.reconciler.ready()


def test_what_others_have_is_said_before_anything_is_written() -> None:
    node = Node()
    node.others = NodeState(devices=(Device("flannel.1", "vxlan", vni=1, port=7789),))
    node.reconciler.step()
    assert node.log == []
    assert "UDP port 7789 is taken by the device flannel.1" in node.reconciler.unready()
    node.others = NodeState()
    node.reconciler.step()
    assert node.reconciler.ready()


def test_what_others_have_is_looked_at_again_after_a_failure_and_not_before() -> None:
    node = Node()
    node.reconciler.step()
    node.others = NodeState(devices=(Device("flannel.1", "vxlan", vni=1, port=7789),))
    node.change(pods=keyed(pod(), pod("two", ips=("10.244.1.9",))))
    assert node.reconciler.ready()
    node.nft.refuse = True
    node.change()
    assert node.reconciler.unready() == "change table outgate: no"
    node.nft.refuse = False
    node.reconciler.step()
    assert "flannel.1" in node.reconciler.unready()


def test_what_others_may_do_is_told_and_stops_nothing() -> None:
    node = Node()
    use = MarkUse("ip t", "c", "packet", "writes", ALL_BITS)
    node.others = NodeState(mark_uses=(use,))
    node.reconciler.step()
    state = node.reconciler.state()
    assert state.programmed
    (doubt,) = state.doubts
    assert doubt.startswith("table ip t, chain c sets the whole packet mark")
    assert report_of(state, None).conditions[0] == ("Programmed", True, "Programmed", doubt)


def test_news_of_the_underlay_are_followed_before_the_next_look() -> None:
    node = Node()
    stop = threading.Event()
    thread = threading.Thread(target=node.reconciler.run, args=(stop,), daemon=True)
    thread.start()
    _eventually(node.reconciler.ready)
    node.interfaces = (Interface("eth0", 9000, (ip_address("192.0.2.1"),)),)
    node.news.add("eth0")

    def followed() -> bool:
        link = node.mesh.observe().link
        return link is not None and link.mtu == 8950

    _eventually(followed)
    stop.set()
    thread.join(5.0)


def test_news_of_the_underlay_end_the_waiting_after_failures() -> None:
    node = Node()
    slow = Pace(coalesce=0.0, news=0.01, backoff=Backoff(first=60.0, most=60.0))
    node.reconciler._pace = slow
    interfaces, node.interfaces = node.interfaces, ()
    stop = threading.Event()
    thread = threading.Thread(target=node.reconciler.run, args=(stop,), daemon=True)
    thread.start()
    _eventually(lambda: bool(node.reconciler.state().error))
    node.interfaces = interfaces
    node.news.add("")
    _eventually(node.reconciler.ready)
    stop.set()
    thread.join(5.0)


def test_what_is_programmed_stays_when_the_cluster_info_is_lost() -> None:
    node = Node()
    node.reconciler.step()
    assert node.change(cluster_infos={}) == []
    assert node.reconciler.ready()


def test_running_flows_of_a_newly_matched_pod_start_anew() -> None:
    node = Node(policies={})
    masqueraded = Flow(POD, OUT, ip_address("192.0.2.1"), 0)
    stranger = Flow(ip_address("10.244.1.9"), OUT, ip_address("192.0.2.1"), 0)
    node.reconciler.step()
    node.conntrack.entries = [masqueraded, stranger]
    node.change()
    assert node.conntrack.entries == [stranger]


def test_flows_that_could_not_be_looked_at_are_looked_at_later() -> None:
    node = Node(policies={})
    node.reconciler.step()
    node.conntrack.entries = [Flow(POD, OUT, ip_address("192.0.2.1"), 0)]
    node.conntrack.broken = True
    node.change()
    assert node.reconciler.unready() == "no conntrack socket"
    node.conntrack.broken = False
    node.reconciler.step()
    assert node.conntrack.entries == []


def test_a_restart_knows_the_old_agents_pods_from_the_rules_in_the_kernel() -> None:
    node = Node()
    node.reconciler.step()
    node.conntrack.entries = [Flow(POD, OUT, POD, ID4 << 16)]
    node.restart()
    node.change(policies={})
    assert node.conntrack.entries == []


def test_what_others_changed_is_written_again_and_nothing_else() -> None:
    node = Node(gateways=HERE)
    node.reconciler.step()
    rules, mesh = node.nft.observe(), node.mesh.observe()
    node.nft.apply(Transaction((DeleteTable("inet"),)))
    node.mesh.apply([Delete(min(mesh.objects, key=repr))])
    node.log.clear()
    node.reconciler.check()
    assert (node.nft.observe(), node.mesh.observe()) == (rules, mesh)
    assert node.log == ["mesh +", "rules"]
    node.log.clear()
    node.reconciler.check()
    assert node.log == []


def test_where_nobody_has_written_nobody_looks_but_now_and_then() -> None:
    node = Node()
    node.reconciler.step()
    node.nft.quiet = node.mesh.quiet = True
    node.nft.apply(Transaction((DeleteTable("inet"),)))
    node.now += 10.0
    node.reconciler.check()
    assert node.nft.observe() is None
    node.now += 300.0
    node.reconciler.check()
    assert node.nft.observe() is not None


def test_a_repair_that_is_refused_is_said_and_done_later() -> None:
    node = Node()
    node.reconciler.step()
    node.nft.apply(Transaction((DeleteTable("inet"),)))
    node.nft.refuse = True
    node.reconciler.check()
    assert node.reconciler.unready() == "change table outgate: no"
    node.nft.refuse = False
    node.reconciler.step()
    assert node.reconciler.ready()
    assert node.nft.observe() == _planned(node)


def test_flows_that_began_while_the_rules_were_gone_start_anew() -> None:
    node = Node()
    node.reconciler.step()
    node.nft.apply(Transaction((DeleteTable("inet"),)))
    node.conntrack.entries = [Flow(POD, OUT, ip_address("192.0.2.1"), 0)]
    node.reconciler.check()
    assert node.conntrack.entries == []


@pytest.mark.parametrize(("cpu", "again"), [(0.0, 3.0), (0.15, 3.0), (0.175, 3.5), (1.0, 4.0)])
def test_looking_for_drift_is_rarer_where_it_is_dear_but_in_time(cpu: float, again: float) -> None:
    assert Pace(drift=3.0, busy=4.0, share=0.05).next_check(cpu) == pytest.approx(again)
    assert Pace(drift=10.0, busy=4.0, share=0.05).next_check(cpu) == 10.0


@pytest.mark.parametrize(("took", "pause"), [(0.0, 0.005), (0.003, 0.005), (0.1, 0.1), (3.0, 0.2)])
def test_after_a_long_pass_as_much_time_goes_by_but_not_long(took: float, pause: float) -> None:
    assert Pace(coalesce=0.005, rest=0.2).gather(took) == pause


def test_a_pass_does_not_put_off_the_next_look_for_drift() -> None:
    node = Node()
    node.reconciler.step()
    node.reconciler.check()
    assert node.reconciler.pause() == Pace().drift
    node.now += 2.0
    node.reconciler.step()
    assert node.reconciler.pause() == Pace().drift - 2.0
    node.now += 2.0
    assert node.reconciler.pause() == 0.0


def test_before_the_first_pass_nothing_has_drifted() -> None:
    node = Node()
    node.reconciler.check()
    assert node.log == []


def test_problems_are_reported_and_stop_nothing() -> None:
    node = Node(policies=keyed(policy(), policy("odd", dest=("what",))))
    node.reconciler.step()
    state = node.reconciler.state()
    assert state.programmed
    assert len(state.problems) == 1


def test_the_loop_follows_changes_retries_failures_and_stops() -> None:
    node = Node()
    node.nft.refuse = True
    stop = threading.Event()
    thread = threading.Thread(target=node.reconciler.run, args=(stop,), daemon=True)
    thread.start()
    _eventually(lambda: bool(node.reconciler.state().error))
    node.nft.refuse = False
    _eventually(node.reconciler.ready)
    node.source.held = replace(snapshot(), gateways=HERE)
    node.source.ask(0.0)
    _eventually(lambda: bool(node.vip.addresses))
    stop.set()
    thread.join(5.0)
    assert not thread.is_alive()
    assert node.vip.addresses  # stopping is not letting go


def _planned(node: Node) -> object:
    programmed = node.reconciler._programmed
    assert programmed is not None
    return rules_plan(*programmed).ruleset


def _view(node: Node) -> NodeView:
    programmed = node.reconciler._programmed
    assert programmed is not None
    return programmed[0]


@contextmanager
def _running(node: Node) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=node.reconciler.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5.0)
        assert not thread.is_alive()


def _eventually(true: object, *, within: float = 5.0) -> None:
    deadline = time.monotonic() + within
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, "not in time"
        threading.Event().wait(0.005)
