"""Rows P6, G1, G2, G8, G11, V1: which address, from which gateway, held by whom."""

from collections.abc import Mapping
from functools import partial

import pytest
from e2e.world import FAMILIES, NAMESPACE, World, selected

GATEWAY_NODES = {"gw1", "gw2"}


def gateway(name: str, *, ipv4: str = "", ipv6: str = "", **spec: object) -> dict[str, object]:
    pools = {"ipv4": [ipv4] if ipv4 else [], "ipv6": [ipv6] if ipv6 else []}
    return {
        "apiVersion": "outgate.dev/v1beta1",
        "kind": "EgressGateway",
        "metadata": {"name": name},
        "spec": {
            "ippools": pools,
            "nodeSelector": {"selector": {"matchLabels": {"egressgateway": "true"}}},
            **spec,
        },
    }


def test_without_a_wish_a_policy_gets_the_gateways_default_address(world: World) -> None:
    with world.having(world.policy("plain", {"appliedTo": selected(pod="client-w1")})) as (p,):
        assert p["status"]["eip"] == {"ipv4": "172.30.0.110", "ipv6": "fd00:30::110"}
        assert p["status"]["node"] in GATEWAY_NODES
        for family in FAMILIES:
            world.wait_source("client-w1", p["status"]["eip"][f"ipv{family}"], family)


def test_two_policies_share_one_address(world: World) -> None:
    first = world.policy("first", {"appliedTo": selected(pod="client-w1")})
    second = world.policy("second", {"appliedTo": selected(pod="client-gw1")})
    with world.having(first, second):
        world.wait_source("client-w1", "172.30.0.110")
        world.wait_source("client-gw1", "172.30.0.110")
        world.delete(first)
        world.wait_source("client-w1", world.node_address("w1", 4))
        assert world.source("client-gw1") == "172.30.0.110"


def test_round_robin_gives_each_policy_another_address(world: World) -> None:
    policies = [
        world.policy(
            f"rr-{client}",
            {
                "appliedTo": selected(pod=client),
                "egressIP": {"allocatorPolicy": "rr"},
            },
        )
        for client in ("client-w1", "client-gw1", "client-gw2")
    ]
    with world.having(*policies) as ready:
        addresses = [p["status"]["eip"]["ipv4"] for p in ready]
        assert len(set(addresses)) == 3
        world.wait_source("client-w1", addresses[0])
        world.wait_source("client-gw1", addresses[1])
        world.wait_source("client-gw2", ready[2]["status"]["eip"]["ipv6"], 6)


def test_pods_of_one_policy_are_spread_over_its_addresses(world: World) -> None:
    wish = {"allocatorPolicy": "rr", "count": 3}
    policy = world.policy("several", {"appliedTo": selected(app="client"), "egressIP": wish})
    with world.having(policy) as (ready,):
        eips = ready["status"]["eips"]
        assert len({eip["ipv4"] for eip in eips}) == len({eip["ipv6"] for eip in eips}) == 3
        assert ready["status"]["eip"] == eips[0]
        other_family = {eip["ipv4"]: eip["ipv6"] for eip in eips}
        for client in ("client-w1", "client-gw1", "client-gw2"):
            mine = partial(seen_as_one_of, world, client, other_family)
            world.wait_source(client, world.lab.wait(f"{client} to leave by one", mine), 6)


def seen_as_one_of(world: World, client: str, eips: Mapping[str, str]) -> str:
    """The IPv6 address that goes with the IPv4 one that the outside sees; empty if none does."""
    return eips.get(world.source(client), "")


def test_a_random_address_is_one_of_the_pool_and_is_kept(world: World) -> None:
    policy = world.policy(
        "any",
        {
            "appliedTo": selected(pod="client-w1"),
            "egressIP": {"allocatorPolicy": "random"},
        },
    )
    with world.having(policy) as (ready,):
        address = ready["status"]["eip"]["ipv4"]
        world.wait_source("client-w1", address)
        world.lab.kubectl(
            "annotate",
            f"egresspolicy/{policy['metadata']['name']}",
            "touched=yes",
            "--namespace",
            NAMESPACE,
        )
        assert world.wait_condition(policy)["status"]["eip"]["ipv4"] == address


@pytest.mark.parametrize("family", FAMILIES)
def test_use_node_ip_shows_the_gateway_nodes_own_address(world: World, family: int) -> None:
    policy = world.policy(
        "node-ip",
        {
            "appliedTo": selected(app="client"),
            "egressIP": {"useNodeIP": True},
        },
    )
    with world.having(policy) as (ready,):
        node = ready["status"]["node"]
        assert node in GATEWAY_NODES
        own = world.node_address(node, family)
        assert ready["status"]["eip"][f"ipv{family}"] == own
        for client in ("client-w1", "client-gw1", "client-gw2"):
            world.wait_source(client, own, family)


def test_a_reserved_address_asked_for_by_name_is_refused_and_the_pod_stays_closed(
    world: World,
) -> None:
    policy = world.policy(
        "reserved",
        {
            "appliedTo": selected(pod="client-w1"),
            "egressIP": {"ipv4": "172.30.0.119"},
        },
    )
    with world.having(policy, ready=False):
        world.wait_condition(policy, "False", "AddressReserved")
        assert "172.30.0.119" in world.condition(policy)["message"]
        world.wait_source("client-w1", "")


def test_an_address_outside_the_pool_is_refused(world: World) -> None:
    policy = world.policy(
        "foreign",
        {
            "appliedTo": selected(pod="client-w1"),
            "egressIP": {"ipv4": "172.30.0.190"},
        },
    )
    with world.having(policy, ready=False):
        world.wait_condition(policy, "False", "AddressNotInPool")
        assert "172.30.0.100-172.30.0.118" in world.condition(policy)["message"]


def test_two_gateways_share_the_nodes_each_with_its_own_address(world: World) -> None:
    other = gateway("other", ipv4="172.30.0.150-172.30.0.159", ipv6="fd00:30::150/124")
    mine = world.policy("mine", {"appliedTo": selected(pod="client-w1")})
    theirs = world.policy(
        "theirs", {"appliedTo": selected(pod="client-gw1"), "egressGatewayName": "other"}
    )
    with world.having(other), world.having(mine, theirs) as (_, ready):
        world.wait_source("client-w1", "172.30.0.110")
        world.wait_source("client-gw1", ready["status"]["eip"]["ipv4"])
        assert ready["status"]["eip"]["ipv4"].startswith("172.30.0.15")


def test_the_namespaces_annotation_and_the_cluster_default_choose_the_gateway(
    world: World,
) -> None:
    cluster = gateway(
        "cluster-wide",
        ipv4="172.30.0.160-172.30.0.161",
        ipv6="fd00:30::160-fd00:30::161",
        clusterDefault=True,
    )
    namespaced = gateway("of-namespace", ipv4="172.30.0.162", ipv6="fd00:30::162")
    policy = world.policy("unnamed", {"appliedTo": selected(pod="client-w1")})
    del policy["spec"]["egressGatewayName"]
    with world.having(cluster, namespaced), world.having(policy):
        world.lab.wait(
            "the cluster default",
            lambda: world.get(policy)["status"].get("gateway") == "cluster-wide",
        )
        world.lab.kubectl(
            "annotate", "namespace", NAMESPACE, "outgate.dev/default-gateway=of-namespace"
        )
        try:
            world.wait_source("client-w1", "172.30.0.162")
        finally:
            world.lab.kubectl("annotate", "namespace", NAMESPACE, "outgate.dev/default-gateway-")
        world.lab.wait(
            "the cluster default again",
            lambda: world.get(policy)["status"].get("gateway") == "cluster-wide",
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_exactly_one_node_has_the_address_and_the_router_knows_its_mac(
    world: World, family: int
) -> None:
    policy = world.policy("announced", {"appliedTo": selected(pod="client-w1")})
    with world.having(policy) as (ready,):
        address = ready["status"]["eip"][f"ipv{family}"]
        world.wait_source("client-w1", address, family)
        node = ready["status"]["node"]
        assert world.holders(address) == (node,)
        neighbour = world.lab.exec("router", "ip", f"-{family}", "neighbour", "show", address)
        assert world.lab.node(node).mac in neighbour
    world.lab.wait("the address to be let go", lambda: world.holders(address) == ())


def test_taking_an_address_announces_it_in_both_arp_forms_and_by_neighbour_advertisement(
    world: World,
) -> None:
    policy = world.policy(
        "heard",
        {
            "appliedTo": selected(pod="client-w1"),
            "egressIP": {"ipv4": "172.30.0.117", "ipv6": "fd00:30::117"},
        },
    )
    with world.lab.capture("lan", "arp or icmp6") as capture, world.having(policy):
        world.wait_source("client-w1", "172.30.0.117")
        world.wait_source("client-w1", "fd00:30::117", 6)

        def heard() -> bool:
            lines = capture.lines("-e")
            request = any(
                "Request who-has 172.30.0.117 " in x and "tell 172.30.0.117" in x for x in lines
            )
            reply = any("Reply 172.30.0.117 is-at" in x for x in lines)
            advertised = any(
                "neighbor advertisement, tgt is fd00:30::117" in x and "ff02::1" in x for x in lines
            )
            return request and reply and advertised

        world.lab.wait("both ARP forms and the advertisement", heard)


def test_gateway_status_tells_nodes_holders_and_pool_use_at_a_glance(world: World) -> None:
    egw = {
        "apiVersion": "outgate.dev/v1beta1",
        "kind": "EgressGateway",
        "metadata": {"name": "default"},
    }
    with world.having(world.policy("used", {"appliedTo": selected(pod="client-w1")})):

        def used() -> bool:
            return bool(world.get(egw)["status"]["ipUsage"]["ipv4Free"] == 18)

        world.lab.wait("the pool's use", used)
        status = world.get(egw)["status"]
        assert {(n["name"], n["status"]) for n in status["nodeList"]} == {
            ("gw1", "Ready"),
            ("gw2", "Ready"),
        }
        assert status["ipUsage"]["ipv4Total"] == 19
        assert {a["address"] for a in status["addresses"]} == {"172.30.0.110", "fd00:30::110"}
        header, row = world.lab.kubectl("get", "egw", "default").splitlines()
        assert "FREE IPV4" in header
        assert row.split()[:4] == ["default", "2", "172.30.0.110", "18"]


def test_the_outside_is_reached_from_the_node_itself_as_before(world: World) -> None:
    with world.having(world.policy("everything", {"appliedTo": selected(app="client")})):
        world.wait_source("client-w1", "172.30.0.110")
        for node in ("gw1", "gw2", "w1"):
            for family in FAMILIES:
                assert world.node_source(node, family) == world.node_address(node, family)
