"""Who holds an address, as gateway and policies show it, whatever happens to its node."""

from dataclasses import replace

import pytest
from unit.controller.world import World, reason

from outgate.api.gateway import EgressAddress, IPPools
from outgate.api.kinds import EGRESS_GATEWAY, EGRESS_POLICY
from outgate.api.policy import EgressIP
from outgate.controller.plan import only_heartbeats

ONE = "198.51.100.10"


@pytest.fixture
def world() -> World:
    made = World()
    made.namespace()
    made.gateway(pools=IPPools(ipv4=("198.51.100.10-198.51.100.250",)))
    made.nodes_up("node-1", "node-2", "node-3")
    made.settle()
    made.policy()
    return made.settle()


def entry(world: World) -> EgressAddress:
    (found,) = world.get(EGRESS_GATEWAY, "gw").status.addresses
    assert isinstance(found, EgressAddress)
    return found


def test_an_address_has_an_id_before_anybody_holds_it(world: World) -> None:
    world.policy("new", egress_ip=EgressIP(ipv4="198.51.100.11"))
    world.told.clear()
    world.step()
    found = {e.address: e for e in world.get(EGRESS_GATEWAY, "gw").status.addresses}
    assert found["198.51.100.11"].id
    assert (found["198.51.100.11"].node, found["198.51.100.11"].epoch) == ("", 0)
    assert reason(world.get(EGRESS_GATEWAY, "gw"), "Held") == "Pending"
    assert world.ready_reason("new") == "NotHeld"
    assert world.told == []  # it takes a moment, as always
    world.settle()
    assert reason(world.get(EGRESS_GATEWAY, "gw"), "Held") == "Held"
    assert world.ready_reason("new") == "Assigned"
    assert [tell.reason for tell in world.told] == ["Assigned"]


def test_the_claim_of_the_higher_epoch_wins_while_the_loser_still_reports_his(
    world: World,
) -> None:
    before = entry(world)
    other = next(n for n in ("node-1", "node-2", "node-3") if n != before.node)
    world.hold(other, "gw", {ONE: before.epoch + 1})
    world.step()
    assert (entry(world).node, entry(world).epoch) == (other, before.epoch + 1)
    world.hold(other, "gw", {})
    world.step()
    assert entry(world).node == before.node


def test_a_silent_holders_claim_counts_no_more_and_its_epoch_is_remembered(world: World) -> None:
    before = entry(world)
    world.fall_silent(before.node, seconds=29)
    world.seconds += 2
    world.told.clear()
    world.step()
    assert (entry(world).node, entry(world).epoch) == ("", before.epoch)
    assert reason(world.get(EGRESS_GATEWAY, "gw"), "Held") == "NotHeld"
    assert ("Warning", "NotHeld") in [(tell.type, tell.reason) for tell in world.told]
    world.settle()
    assert entry(world).node not in ("", before.node)
    assert entry(world).epoch > before.epoch
    moved = [t for t in world.told if t.reason == "Moved" and t.kind is EGRESS_GATEWAY]
    assert [tell.count for tell in moved] == [1]


def test_a_holder_whose_node_is_not_ready_or_gone_counts_no_more(world: World) -> None:
    holder = entry(world).node
    world.node(holder, ready=False)
    world.step()
    assert entry(world).node == ""
    world.node(holder)
    world.step()
    assert entry(world).node == holder
    world.objects["nodes"].pop(("", holder))  # the tunnel is still there
    world.step()
    assert entry(world).node == ""


@pytest.mark.parametrize("how", ["cordoned", "unlabelled", "unfit"])
def test_an_address_is_shown_where_it_is_until_it_has_moved(world: World, how: str) -> None:
    holder = entry(world).node
    match how:
        case "cordoned":
            world.node(holder, cordoned=True)
        case "unlabelled":
            world.node(holder, gateway=False)
        case _:
            world.unfit(holder, message="icmp: no answer from 203.0.113.7")
    world.told.clear()
    world.step()
    assert entry(world).node == holder
    world.settle()
    assert entry(world).node not in ("", holder)
    (tell,) = (t for t in world.told if t.reason == "Moved" and t.kind is EGRESS_GATEWAY)
    words = {"cordoned": "is Cordoned", "unlabelled": "not selected", "unfit": "is Unfit"}[how]
    assert words in tell.message
    assert f"from {holder} to {entry(world).node}" in tell.message


def test_an_unfit_node_is_named_with_its_reason_and_is_back_when_fit(world: World) -> None:
    world.unfit("node-1", message="icmp: no answer from 203.0.113.7")
    world.step()

    def shown() -> tuple[str, str, str]:
        nodes = {n.name: n for n in world.get(EGRESS_GATEWAY, "gw").status.node_list}
        one = nodes["node-1"]
        return one.status, one.reason, one.message

    assert shown() == ("NotReady", "Unfit", "ProbesFailed: icmp: no answer from 203.0.113.7")
    world.unfit("node-1")
    world.step()
    assert shown() == ("Ready", "", "")


def test_many_addresses_of_one_node_are_told_in_one_event_a_pair(world: World) -> None:
    for number in range(11, 131):
        world.policy(f"p{number}", egress_ip=EgressIP(ipv4=f"198.51.100.{number}"))
    world.settle()
    lost = list(world.holders().values()).count("node-1")
    assert lost > 10
    world.node("node-1", cordoned=True)
    world.told.clear()
    world.settle()
    moved = [t for t in world.told if t.reason == "Moved" and t.kind is EGRESS_GATEWAY]
    assert 1 <= len(moved) <= 2
    assert sum(tell.count for tell in moved) == lost


def test_no_heartbeat_hides_what_else_is_in_a_report(world: World) -> None:
    before = world.snapshot()

    def only_beat() -> bool:
        return only_heartbeats(before, replace(before, tunnels=dict(world.objects["tunnels"])))

    world.seconds += 1
    world.beat("node-1")
    assert only_beat()
    world.hold("node-1", "gw", {ONE: 99})
    assert not only_beat()
    before = world.snapshot()
    world.unfit("node-1", message="icmp")
    assert not only_beat()


def test_an_address_of_a_stranger_gateway_or_out_of_use_is_nobodys_matter(world: World) -> None:
    before = entry(world)
    world.hold("node-1", "elsewhere", {ONE: 99})
    world.hold("node-2", "gw", {"203.0.113.200": 99, **world.claims()["node-2"]})
    world.step()
    assert entry(world) == before


def test_node_ip_is_assigned_and_has_no_epoch(world: World) -> None:
    world.policy("own", egress_ip=EgressIP(use_node_ip=True))
    world.settle()
    found = {e.address: e for e in world.get(EGRESS_GATEWAY, "gw").status.addresses}
    assert (found[""].node != "", found[""].epoch) == (True, 0)
    world.node(found[""].node, cordoned=True)
    world.settle()
    status = world.get(EGRESS_POLICY, "own", namespace="shop").status
    assert status.node not in ("", found[""].node)


def test_node_ip_stays_where_every_node_is_unfit(world: World) -> None:
    world.policy("own", egress_ip=EgressIP(use_node_ip=True))
    world.settle()
    before = world.get(EGRESS_POLICY, "own", namespace="shop").status.node
    for node in world.get(EGRESS_GATEWAY, "gw").status.node_list:
        world.unfit(node.name, message="icmp")
    world.settle()
    gateway = world.get(EGRESS_GATEWAY, "gw").status
    assert {one.reason for one in gateway.node_list} == {"Unfit"}
    assert before
    assert world.get(EGRESS_POLICY, "own", namespace="shop").status.node == before
