"""Rows G1, P1, P3, P6, D1: matched pods leave with the address that their policy names."""

import itertools

import pytest
from e2e.world import (
    CLIENTS,
    FAMILIES,
    NAMESPACE,
    NODES,
    OUTSIDE,
    OUTSIDE_OTHER,
    World,
    selected,
)

from outgate.lab import Protocol

FIXED = {4: "172.30.0.105", 6: "fd00:30::105"}


def test_matched_pods_on_every_kind_of_node_leave_with_the_egress_ip(world: World) -> None:
    policy = world.policy(
        "all-clients",
        {
            "appliedTo": selected(app="client"),
            "egressIP": {"ipv4": FIXED[4], "ipv6": FIXED[6]},
        },
    )
    with world.having(policy):
        for client, family in itertools.product(CLIENTS, FAMILIES):
            world.wait_source(client, FIXED[family], family)
            for protocol in Protocol:
                seen = world.source(client, family, protocol=protocol)
                assert seen == FIXED[family], (client, protocol)
    for client, node in zip(CLIENTS, NODES, strict=True):
        for family in FAMILIES:
            world.wait_source(client, world.node_address(node, family), family)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("client", CLIENTS)
def test_icmp_leaves_with_the_egress_ip(world: World, client: str, family: int) -> None:
    policy = world.policy(
        "ping",
        {
            "appliedTo": selected(pod=client),
            "egressIP": {"ipv4": FIXED[4], "ipv6": FIXED[6]},
        },
    )
    with world.having(policy):
        world.wait_source(client, FIXED[family], family)
        expression = f"icmp{'6' if family == 6 else ''} and host {OUTSIDE[family]}"
        with world.lab.capture("outside", expression) as capture:
            assert world.lab.ping(client, OUTSIDE[family], namespace=NAMESPACE) is not None
            capture.stop()
            requests = [line for line in capture.lines() if "echo request" in line]
        assert requests
        assert all(f" {FIXED[family]} > " in line for line in requests)


@pytest.mark.parametrize("family", FAMILIES)
def test_unmatched_pods_leave_as_before(world: World, family: int) -> None:
    policy = world.policy("one", {"appliedTo": selected(pod="client-w1")})
    with world.having(policy) as (ready,):
        world.wait_source("client-w1", ready["status"]["eip"][f"ipv{family}"], family)
        assert world.source("client-gw1", family) == world.node_address("gw1", family)
        assert world.source("client-gw2", family) == world.node_address("gw2", family)


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_named_destinations_are_taken(world: World, family: int) -> None:
    policy = world.policy(
        "some",
        {
            "appliedTo": selected(pod="client-w1"),
            "destSubnet": [OUTSIDE_OTHER[4], OUTSIDE_OTHER[6]],
        },
    )
    with world.having(policy) as (ready,):
        eip = ready["status"]["eip"][f"ipv{family}"]
        world.wait_source("client-w1", eip, family, to=OUTSIDE_OTHER[family])
        assert world.source("client-w1", family) == world.node_address("w1", family)


@pytest.mark.parametrize("family", FAMILIES)
def test_excluded_destinations_are_left_alone(world: World, family: int) -> None:
    policy = world.policy(
        "but",
        {
            "appliedTo": selected(pod="client-w1"),
            "excludeSubnet": ["203.0.113.20/32", "2001:db8:cafe::20/128"],
        },
    )
    with world.having(policy) as (ready,):
        world.wait_source("client-w1", ready["status"]["eip"][f"ipv{family}"], family)
        seen = world.source("client-w1", family, to=OUTSIDE_OTHER[family])
        assert seen == world.node_address("w1", family)


def test_a_cluster_policy_takes_the_pods_of_the_selected_namespaces(world: World) -> None:
    policy = world.policy(
        "tenants",
        {
            "appliedTo": {
                "podSelector": {"matchLabels": {"app": "client"}},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
            },
        },
        kind="EgressClusterPolicy",
    )
    with world.having(policy) as (ready,):
        world.wait_source("client-w1", ready["status"]["eip"]["ipv4"])
        world.wait_source("client-gw2", ready["status"]["eip"]["ipv6"], 6)


def test_pods_are_matched_by_their_subnet(world: World) -> None:
    address = world.pod_address("client-w1", 4)
    policy = world.policy("subnet", {"appliedTo": {"podSubnet": [f"{address}/32"]}})
    with world.having(policy) as (ready,):
        world.wait_source("client-w1", ready["status"]["eip"]["ipv4"])
        assert world.source("client-gw1") == world.node_address("gw1", 4)


@pytest.mark.parametrize(
    "name,namespaced,expected",
    [
        ("the more specific destination", True, "specific"),
        ("namespaced before cluster", False, "namespaced"),
    ],
)
def test_of_two_policies_on_a_pod_the_defined_one_wins(
    world: World, name: str, namespaced: bool, expected: str
) -> None:
    wide = world.policy(
        "wide",
        {
            "appliedTo": selected(pod="client-w1"),
            "egressIP": {"ipv4": "172.30.0.106"},
        },
    )
    if namespaced:
        other = world.policy(
            "narrow",
            {
                "appliedTo": selected(pod="client-w1"),
                "egressIP": {"ipv4": "172.30.0.107"},
                "destSubnet": ["203.0.113.0/24"],
            },
        )
    else:
        other = world.policy(
            "cluster",
            {
                "appliedTo": selected(pod="client-w1"),
                "egressIP": {"ipv4": "172.30.0.107"},
            },
            kind="EgressClusterPolicy",
        )
    with world.having(wide, other):
        winner = {"specific": "172.30.0.107", "namespaced": "172.30.0.106"}[expected]
        world.wait_source("client-w1", winner)
