import random

import pytest
from unit.controller.world import World, reason

from outgate.api.gateway import IPPools
from outgate.api.kinds import (
    EGRESS_CLUSTER_INFO,
    EGRESS_CLUSTER_POLICY,
    EGRESS_GATEWAY,
    EGRESS_POLICY,
    EGRESS_TUNNEL,
    NODE,
)
from outgate.api.match import DEFAULT_GATEWAY_ANNOTATION
from outgate.api.policy import AssignedEIP, EgressIP
from outgate.controller.eligibility import GRACE
from outgate.controller.plan import next_silence, plan

DUAL = IPPools(ipv4=("198.51.100.10-198.51.100.12",), ipv6=("2001:db8:1::/64",))


@pytest.fixture
def world() -> World:
    made = World()
    made.namespace()
    made.gateway(pools=DUAL)
    made.nodes_up("node-1", "node-2", "node-3")
    return made.settle()


def test_default_policy_gets_the_gateways_default_addresses(world: World) -> None:
    world.policy()
    world.settle()
    status = world.get(EGRESS_POLICY, "web", namespace="shop").status
    assert status.eip == AssignedEIP(ipv4="198.51.100.10", ipv6="2001:db8:1::1")
    assert world.ready_reason() == "Assigned"
    assert set(status.node.split(",")) == set(world.holders().values())
    assert "" not in world.holders().values()


def test_nothing_is_written_once_all_is_as_it_should_be(world: World) -> None:
    world.policy()
    world.pod("p1")
    world.settle()
    assert list(world.plan().writes()) == []


def test_restart_from_own_status_writes_nothing(world: World) -> None:
    world.policy(egress_ip=EgressIP(allocator_policy="random"))
    world.policy("node", egress_ip=EgressIP(use_node_ip=True))
    world.pod("p1")
    world.settle()
    world.restart()
    assert list(world.plan().writes()) == []


def test_order_of_the_input_does_not_matter(world: World) -> None:
    for number in range(9):
        world.policy(f"p{number}", egress_ip=EgressIP(allocator_policy="rr"))
        world.pod(f"pod{number}")
    expected = list(world.plan().writes())
    for seed in range(5):
        assert list(world.plan(shuffle=random.Random(seed)).writes()) == expected


def test_policies_on_one_address_share_its_egress_id(world: World) -> None:
    world.policy("a")
    world.policy("b")
    world.settle()
    assert len(world.ids()) == 2  # one for each family


def test_unready_holder_loses_its_addresses_and_nobody_else_does(world: World) -> None:
    for number in (10, 11, 12):
        world.policy(f"p{number}", egress_ip=EgressIP(ipv4=f"198.51.100.{number}"))
    world.settle()
    before = world.holders()
    lost = before["198.51.100.10"]
    world.node(lost, ready=False)
    world.settle()
    after = world.holders()
    assert lost not in after.values()
    assert all(after[a] == node for a, node in before.items() if node != lost)
    assert world.ids().keys() == {("gw", address) for address in before}


def test_returned_node_takes_nothing_back(world: World) -> None:
    world.policy()
    world.settle()
    lost = world.holders()["198.51.100.10"]
    world.node(lost, ready=False)
    world.settle()
    moved = world.holders()
    world.node(lost)
    world.settle()
    assert world.holders() == moved


def test_silent_agent_loses_its_addresses_at_the_time_that_the_plan_names(world: World) -> None:
    world.policy()
    world.settle()
    holder = world.holders()["198.51.100.10"]
    wake = next_silence(world.memory.beats, settings=world.settings, now=world.now())
    assert wake is not None
    others = [name for name in ("node-1", "node-2", "node-3") if name != holder]
    world.fall_silent(holder, seconds=20)
    world.step()
    world.seconds = wake
    world.settle()
    assert holder not in world.holders().values()
    states = {node.name: node.reason for node in world.get(EGRESS_GATEWAY, "gw").status.node_list}
    assert states == {holder: "AgentSilent"} | dict.fromkeys(others, "")


def test_new_leader_trusts_the_last_ones_word_on_silent_agents(world: World) -> None:
    world.policy()
    world.settle()
    world.fall_silent("node-1", "node-2")
    world.settle()
    assert set(world.holders().values()) == {"node-3"}
    world.restart()
    assert list(world.step().writes()) == []
    states = {node.name: node.reason for node in world.get(EGRESS_GATEWAY, "gw").status.node_list}
    assert states == {"node-1": "AgentSilent", "node-2": "AgentSilent", "node-3": ""}


def test_where_no_agent_is_heard_none_is_silent_until_it_had_time_to_report(world: World) -> None:
    """A watch that hangs shows none of the reports; it must take no address away."""
    world.policy()
    world.fall_silent("node-1")
    world.settle()
    before = world.holders()
    for _ in range(40):
        world.seconds += 10
        assert list(world.step().writes()) == []
    world.beat("node-3")  # the watch is tried again: one object comes first
    assert world.step().silent == {"node-1"}
    world.fall_silent("node-1", "node-2", seconds=GRACE - 1)
    assert world.step().silent == {"node-1"}
    world.seconds += 2
    assert world.step().silent == {"node-1", "node-2"}
    assert set(before.values()) <= {"node-2", "node-3"}


def test_without_an_eligible_node_the_address_stays_allocated(world: World) -> None:
    world.policy()
    world.settle()
    for name in ("node-1", "node-2", "node-3"):
        world.node(name, ready=False)
    world.settle()
    status = world.get(EGRESS_POLICY, "web", namespace="shop").status
    assert world.ready_reason() == "NoEligibleNode"
    assert status.eip.ipv4 == "198.51.100.10"
    assert status.node == ""
    assert reason(world.get(EGRESS_GATEWAY, "gw"), "Ready") == "NoEligibleNode"
    assert reason(world.get(EGRESS_GATEWAY, "gw"), "Held") == "NoEligibleNode"


@pytest.mark.parametrize(
    ("egress_ip", "expected"),
    [
        (EgressIP(ipv4="198.51.100.11"), "Assigned"),
        (EgressIP(ipv4="198.51.100.99"), "AddressNotInPool"),
        (EgressIP(ipv4="198.51.100.12"), "AddressReserved"),
        (EgressIP(ipv4="2001:db8:1::5"), "AddressNotInPool"),
        (EgressIP(ipv6="2001:db8:1::5"), "Assigned"),
        (EgressIP(ipv6="2001:db8:1::"), "AddressNotInPool"),
        (EgressIP(ipv6="2001:db8:1::bad"), "AddressReserved"),
        (EgressIP(use_node_ip=True), "Assigned"),
        (EgressIP(allocator_policy="rr"), "Assigned"),
        (EgressIP(allocator_policy="random"), "Assigned"),
    ],
)
def test_each_wish_has_its_answer(world: World, egress_ip: EgressIP, expected: str) -> None:
    pools = IPPools(ipv4=DUAL.ipv4, ipv6=DUAL.ipv6, reserved=("198.51.100.12", "2001:db8:1::bad"))
    world.change(EGRESS_GATEWAY, "gw", ippools=pools)
    world.policy(egress_ip=egress_ip)
    world.settle()
    status = world.get(EGRESS_POLICY, "web", namespace="shop").status
    assert world.ready_reason() == expected
    if expected != "Assigned":
        assert status.eip == AssignedEIP()
        assert world.ids() == {}


def test_fixed_address_is_paired_with_the_default_of_the_other_family(world: World) -> None:
    world.policy(egress_ip=EgressIP(ipv4="198.51.100.11"))
    world.settle()
    eip = world.get(EGRESS_POLICY, "web", namespace="shop").status.eip
    assert eip == AssignedEIP(ipv4="198.51.100.11", ipv6="2001:db8:1::1")


def test_several_addresses_are_listed_and_served_each_with_its_own_id(world: World) -> None:
    world.policy(egress_ip=EgressIP(allocator_policy="rr", count=3))
    world.settle()
    status = world.get(EGRESS_POLICY, "web", namespace="shop").status
    assert status.eips == tuple(
        AssignedEIP(ipv4=f"198.51.100.{9 + n}", ipv6=f"2001:db8:1::{n}") for n in (1, 2, 3)
    )
    assert status.eip == status.eips[0]
    holders = world.holders()
    assert set(status.node.split(",")) == set(holders.values())
    assert len(world.ids()) == 6
    assert world.ready_reason() == "Assigned"
    assert list(world.plan().writes()) == []


def test_one_address_is_told_as_ever(world: World) -> None:
    world.policy(egress_ip=EgressIP(allocator_policy="rr", count=1))
    world.settle()
    assert world.get(EGRESS_POLICY, "web", namespace="shop").status.eips == ()


def test_a_count_that_changes_keeps_the_first_addresses(world: World) -> None:
    def count(number: int) -> list[str]:
        wish = EgressIP(allocator_policy="random", count=number)
        world.change(EGRESS_POLICY, "web", namespace="shop", egress_ip=wish)
        world.settle()
        status = world.get(EGRESS_POLICY, "web", namespace="shop").status
        return [eip.ipv4 for eip in status.every_eip()]

    world.policy(egress_ip=EgressIP(allocator_policy="random"))
    world.settle()
    one = [world.get(EGRESS_POLICY, "web", namespace="shop").status.eip.ipv4]
    three = count(3)
    assert (three[:1], len(set(three))) == (one, 3)
    world.restart()
    assert count(2) == three[:2]
    assert set(world.holders()) & set(three) == set(three[:2])
    assert count(1) == one


def test_an_address_less_stays_served_until_the_status_says_so(world: World) -> None:
    world.policy(egress_ip=EgressIP(allocator_policy="rr", count=2))
    world.settle()
    wish = EgressIP(allocator_policy="rr")
    world.change(EGRESS_POLICY, "web", namespace="shop", egress_ip=wish)
    world.step()
    assert "198.51.100.11" in world.holders()
    world.settle()
    assert "198.51.100.11" not in world.holders()


def test_a_pool_too_small_gives_what_it_has_and_says_how_many(world: World) -> None:
    world.policy(egress_ip=EgressIP(allocator_policy="random", count=4))
    world.settle()
    status = world.get(EGRESS_POLICY, "web", namespace="shop").status
    assert len([eip for eip in status.eips if eip.ipv4]) == 3
    assert world.ready_reason() == "PoolExhausted"
    (ready,) = (each for each in status.conditions if each.type == "Ready")
    assert ready.message.startswith("3 of 4 IPv4 addresses are given: ")
    assert len(world.holders()) == 7
    assert [tell.reason for tell in world.told].count("PoolExhausted") == 1


def test_node_ip_policy_shows_the_serving_nodes_addresses(world: World) -> None:
    world.policy(egress_ip=EgressIP(use_node_ip=True))
    world.settle()
    status = world.get(EGRESS_POLICY, "web", namespace="shop").status
    number = status.node.rpartition("-")[2]
    assert status.use_node_ip
    assert status.eip == AssignedEIP(ipv4=f"192.0.2.{number}", ipv6=f"2001:db8::{number}")
    assert world.holders() == {"": status.node}


def test_policy_without_a_gateway_takes_the_namespaces_then_the_clusters(world: World) -> None:
    world.policy(gateway="")
    world.settle()
    assert world.ready_reason() == "NoDefaultGateway"
    world.gateway("cluster", default=True, pools=IPPools(ipv4=("203.0.113.1",)))
    world.settle()
    assert world.get(EGRESS_POLICY, "web", namespace="shop").status.gateway == "cluster"
    world.namespace(**{DEFAULT_GATEWAY_ANNOTATION: "gw"})
    world.settle()
    assert world.get(EGRESS_POLICY, "web", namespace="shop").status.gateway == "gw"
    world.namespace(**{DEFAULT_GATEWAY_ANNOTATION: "gone"})
    world.settle()
    assert world.ready_reason() == "GatewayNotFound"


def test_cluster_policy_takes_the_cluster_default_only(world: World) -> None:
    world.namespace(**{DEFAULT_GATEWAY_ANNOTATION: "gw"})
    world.cluster_policy(gateway="")
    world.settle()
    assert reason(world.get(EGRESS_CLUSTER_POLICY, "all"), "Ready") == "NoDefaultGateway"


def test_younger_of_two_cluster_defaults_says_so(world: World) -> None:
    world.gateway("old", default=True, pools=IPPools(ipv4=("203.0.113.1",)))
    world.seconds += 60
    world.gateway("young", default=True, pools=IPPools(ipv4=("203.0.113.2",)))
    world.beat()
    world.settle()
    assert reason(world.get(EGRESS_GATEWAY, "old"), "ClusterDefault") == "InForce"
    assert reason(world.get(EGRESS_GATEWAY, "young"), "ClusterDefault") == "OlderDefault"


def test_overlap_belongs_to_the_older_gateway_and_the_other_says_so(world: World) -> None:
    world.seconds += 10
    world.gateway("young", pools=IPPools(ipv4=("198.51.100.12-198.51.100.13",)))
    world.policy(gateway="young", egress_ip=EgressIP(ipv4="198.51.100.12"))
    world.policy("other", gateway="young")
    world.beat()
    world.settle()
    assert reason(world.get(EGRESS_GATEWAY, "young"), "PoolsValid") == "Overlap"
    assert world.ready_reason() == "AddressNotInPool"
    assert world.holders("young").keys() == {"198.51.100.13"}


def test_malformed_pool_entry_is_a_condition_and_the_rest_is_used(world: World) -> None:
    world.change(EGRESS_GATEWAY, "gw", ippools=IPPools(ipv4=("nonsense", "203.0.113.7")))
    world.policy()
    world.settle()
    assert reason(world.get(EGRESS_GATEWAY, "gw"), "PoolsValid") == "InvalidEntry"
    assert world.holders().keys() == {"203.0.113.7"}


def test_address_stays_served_until_the_policys_status_shows_another(world: World) -> None:
    world.policy(egress_ip=EgressIP(ipv4="198.51.100.10"))
    world.settle()
    wish = EgressIP(ipv4="198.51.100.11")
    world.change(EGRESS_POLICY, "web", namespace="shop", egress_ip=wish)
    world.step()
    assert {"198.51.100.10", "198.51.100.11"} < world.holders().keys()
    world.settle()
    assert "198.51.100.10" not in world.holders()


def test_freed_id_rests_before_another_address_has_it(world: World) -> None:
    world.policy(egress_ip=EgressIP(ipv4="198.51.100.10"))
    world.settle()
    freed = set(world.ids().values())
    world.remove(EGRESS_POLICY, "web", namespace="shop")
    world.settle()
    assert world.ids() == {}
    assert freed <= world.memory.ids.resting.keys()
    world.seconds += 61
    world.beat()
    world.settle()
    assert not world.memory.ids.resting


def test_gateway_shows_pool_use(world: World) -> None:
    world.policy(egress_ip=EgressIP(ipv4="198.51.100.11"))
    world.settle()
    use = world.get(EGRESS_GATEWAY, "gw").status.ip_usage
    assert (use.ipv4_total, use.ipv4_free) == (3, 2)
    assert use.ipv6_total == 2**63 - 1


def test_every_node_has_a_tunnel_and_only_candidates_a_mark(world: World) -> None:
    world.node("worker", gateway=False)
    world.settle()
    tunnels = {name: t.spec for (_, name), t in world.objects["tunnels"].items()}
    assert tunnels.keys() == {"node-1", "node-2", "node-3", "worker"}
    assert tunnels["worker"].mark == 0
    assert all(tunnels[name].mark for name in ("node-1", "node-2", "node-3"))
    assert world.get(EGRESS_TUNNEL, "worker").metadata.owner_references[0].kind == "Node"


def test_unlabelled_node_keeps_its_mark_until_its_addresses_have_moved(world: World) -> None:
    world.policy()
    world.settle()
    holder = world.holders()["198.51.100.10"]
    world.node(holder, gateway=False)
    world.step()
    assert world.get(EGRESS_TUNNEL, holder).spec.mark != 0
    assert holder in world.holders().values()
    world.settle()
    assert holder not in world.holders().values()
    assert world.get(EGRESS_TUNNEL, holder).spec.mark == 0


def test_cluster_info_is_created_and_filled(world: World) -> None:
    world.node("worker", gateway=False, pod_cidrs=("203.0.113.0/24",), address="192.0.2.9")
    world.settle()
    info = world.get(EGRESS_CLUSTER_INFO, "default")
    found = {(n.cidr, n.source, n.name) for n in info.status.networks}
    assert found == {
        ("203.0.113.0/24", "NodePodCIDR", "worker"),
        ("192.0.2.9/32", "NodeAddress", "worker"),
    }
    assert reason(info, "Ready") == "NoClusterIPRange"


def test_matched_pods_are_counted_and_listed(world: World) -> None:
    world.policy(labels={"app": "web"})
    for number in range(120):
        world.pod(f"p{number:03}", labels={"app": "web"})
    world.pod("db", labels={"app": "db"})
    world.pod("done", labels={"app": "web"}, phase="Succeeded")
    world.pod("host", labels={"app": "web"}, host_network=True)
    world.settle()
    assert world.get(EGRESS_POLICY, "web", namespace="shop").status.matched_pods == 120
    assert sorted(len(s.endpoints) for s in world.objects["slices"].values()) == [20, 100]


def test_events_tell_changes_once(world: World) -> None:
    world.policy()
    world.settle()
    assert [t.reason for t in world.told if t.kind is EGRESS_POLICY] == ["Assigned"]
    world.told.clear()
    world.settle()
    assert world.told == []
    holder = world.holders()["198.51.100.10"]
    world.node(holder, cordoned=True)
    world.settle()
    assert sorted((t.kind.name, t.reason) for t in world.told) == [
        ("EgressGateway", "Moved"),
        ("EgressPolicy", "Moved"),
    ]


def test_mesh_without_room_is_told_once_and_harms_nobody(world: World) -> None:
    from ipaddress import IPv4Network

    from outgate.controller.model import Settings
    from outgate.controller.tunnels import MeshSettings

    mesh = MeshSettings(subnet4=IPv4Network("192.0.2.0/29"), subnet6=None, mark_max=2)
    world.settings = Settings(mesh=mesh)
    for number in range(4, 9):
        world.node(f"node-{number}")
    world.settle()
    world.beat()
    world.policy()
    world.settle()
    addresses = [t.spec.ipv4 for t in world.objects["tunnels"].values() if t.spec.ipv4]
    assert len(addresses) == len(set(addresses)) == 5
    assert {t.reason for t in world.told if t.kind is NODE} == {"TunnelExhausted", "MarksExhausted"}
    assert world.ready_reason() == "Assigned"


def test_deleted_gateway_leaves_its_policies_closed(world: World) -> None:
    world.policy()
    world.settle()
    world.remove(EGRESS_GATEWAY, "gw")
    world.settle()
    status = world.get(EGRESS_POLICY, "web", namespace="shop").status
    assert world.ready_reason() == "GatewayNotFound"
    assert (status.eip, status.gateway, status.node) == (AssignedEIP(), "", "")


def test_every_write_may_be_the_last_one_before_a_crash(world: World) -> None:
    world.policy(egress_ip=EgressIP(allocator_policy="rr"))
    world.policy("b", egress_ip=EgressIP(allocator_policy="rr"))
    world.pod("p1")
    writes = list(world.plan().writes())
    for done in range(len(writes) + 1):
        broken = World(objects={name: dict(o) for name, o in world.objects.items()})
        broken.seconds = world.seconds
        for write in writes[:done]:
            broken.perform(write)
        broken.settle()
        again = plan(
            broken.snapshot(), settings=broken.settings, memory=broken.memory, now=broken.now()
        )
        assert list(again.writes()) == []
        assert {entry[1] for entry in broken.ids()} == {
            "198.51.100.10",
            "198.51.100.11",
            "2001:db8:1::1",
            "2001:db8:1::2",
        }
