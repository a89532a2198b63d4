"""Rows P1, P2, P14: labels, policies and namespaces change under running pods."""

import pytest
from e2e.world import FAMILIES, NAMESPACE, World, pod, selected

EIP = {4: "172.30.0.110", 6: "fd00:30::110"}


def label(world: World, change: str) -> None:
    world.lab.kubectl("label", "pod", "client-w1", change, "--overwrite", "--namespace", NAMESPACE)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_label_added_changed_and_removed_on_a_running_pod(world: World, family: int) -> None:
    own = world.node_address("w1", family)
    with world.having(world.policy("by-label", {"appliedTo": selected(team="red")})):
        assert world.source("client-w1", family) == own
        label(world, "team=red")
        try:
            world.wait_source("client-w1", EIP[family], family)
            label(world, "team=blue")
            world.wait_source("client-w1", own, family)
            label(world, "team=red")
            world.wait_source("client-w1", EIP[family], family)
        finally:
            label(world, "team-")
        world.wait_source("client-w1", own, family)


def test_a_policys_selector_expressions_are_edited(world: World) -> None:
    policy = world.policy(
        "edited",
        {
            "appliedTo": {
                "podSelector": {
                    "matchExpressions": [{"key": "pod", "operator": "In", "values": ["client-gw1"]}]
                }
            }
        },
    )
    with world.having(policy):
        world.wait_source("client-gw1", EIP[4])
        policy["spec"]["appliedTo"] = {
            "podSelectors": [
                {"matchLabels": {"pod": "client-w1"}},
                {"matchLabels": {"pod": "client-gw2"}},
            ]
        }
        world.apply(policy)
        world.wait_source("client-w1", EIP[4])
        world.wait_source("client-gw2", EIP[4])
        world.wait_source("client-gw1", world.node_address("gw1", 4))


def test_a_policys_address_is_edited_under_an_open_flow(world: World) -> None:
    policy = world.policy(
        "moved",
        {
            "appliedTo": selected(pod="client-w1"),
            "egressIP": {"ipv4": "172.30.0.111"},
        },
    )
    with world.having(policy):
        world.wait_source("client-w1", "172.30.0.111")
        policy["spec"]["egressIP"] = {"ipv4": "172.30.0.112"}
        world.apply(policy)
        world.wait_source("client-w1", "172.30.0.112")
        world.lab.wait("the old address to be let go", lambda: world.holders("172.30.0.111") == ())


def test_flows_from_before_a_policy_do_not_go_on_with_the_old_address(world: World) -> None:
    with world.lab.flow("client-w1", namespace=NAMESPACE) as flow:
        assert str(flow.ask().source) == world.node_address("w1", 4)
        with world.having(world.policy("late", {"appliedTo": selected(pod="client-w1")})):
            world.wait_source("client-w1", EIP[4])
            answer = flow.ask()
            assert not answer or str(answer.source) == EIP[4]


def test_a_namespaces_labels_bring_its_pods_under_a_cluster_policy(world: World) -> None:
    policy = world.policy(
        "by-namespace",
        {
            "appliedTo": {
                "podSelector": {"matchLabels": {"pod": "client-w1"}},
                "namespaceSelector": {"matchLabels": {"tier": "gold"}},
            }
        },
        kind="EgressClusterPolicy",
    )
    with world.having(policy):
        assert world.source("client-w1") == world.node_address("w1", 4)
        world.lab.kubectl("label", "namespace", NAMESPACE, "tier=gold")
        try:
            world.wait_source("client-w1", EIP[4])
        finally:
            world.lab.kubectl("label", "namespace", NAMESPACE, "tier-")
        world.wait_source("client-w1", world.node_address("w1", 4))


@pytest.mark.parametrize("node", ["gw1", "w1"])
def test_a_new_pod_is_taken_and_listed_and_a_deleted_one_forgotten(world: World, node: str) -> None:
    policy = world.policy("newcomers", {"appliedTo": selected(app="newcomer")})
    newcomer = pod(f"newcomer-{node}", node, {"app": "newcomer"})
    with world.having(policy):
        world.apply(newcomer)
        try:
            world.lab.kubectl(
                "wait",
                f"pod/newcomer-{node}",
                "--namespace",
                NAMESPACE,
                "--for=condition=Ready",
                "--timeout=60s",
            )
            world.wait_source(f"newcomer-{node}", EIP[4])
            world.lab.wait("the pod in the slice", lambda: listed(world) == [f"newcomer-{node}"])
            assert world.get(policy)["status"]["matchedPods"] == 1
        finally:
            world.delete(newcomer)
        world.lab.wait("the slice to be empty", lambda: listed(world) == [])


def test_a_pod_in_the_nodes_network_never_matches(world: World) -> None:
    host_pod = pod("in-host-network", "w1", {"app": "hostly"}, host_network=True)
    with world.having(world.policy("hosts", {"appliedTo": selected(app="hostly")})) as (ready,):
        world.apply(host_pod)
        try:
            world.lab.kubectl(
                "wait",
                "pod/in-host-network",
                "--namespace",
                NAMESPACE,
                "--for=condition=Ready",
                "--timeout=60s",
            )
            assert world.node_source("w1", 4) == world.node_address("w1", 4)
            assert world.get(ready)["status"].get("matchedPods", 0) == 0
        finally:
            world.delete(host_pod)


def listed(world: World) -> list[str]:
    slices = world.lab.kubectl_json(
        "get",
        "egressendpointslices",
        "--namespace",
        NAMESPACE,
        "--selector",
        "outgate.dev/policy=newcomers",
    )["items"]
    return [endpoint["pod"] for s in slices for endpoint in s.get("endpoints", ())]
