"""Restarts, deaths and deletions of Outgate's own parts: nothing lost, nothing leaked."""

import subprocess
import sys
import time
from pathlib import Path

from e2e.world import NAMESPACE, OUTSIDE, World, selected

from outgate.lab import product
from outgate.lab.topology import CONTROL_PLANE

EIP = "172.30.0.110"


def test_a_restarted_agent_keeps_flows_and_rules(world: World) -> None:
    with world.having(world.policy("kept", {"appliedTo": selected(pod="client-w1")})):
        world.wait_source("client-w1", EIP)
        with world.lab.flow("client-w1", namespace=NAMESPACE) as flow:
            for node in ("w1", "gw1", "gw2"):
                began = time.time()
                old = product.agent_pod(world.lab, node)
                world.lab.kubectl(
                    "delete", "pod", old, "--namespace", product.NAMESPACE, "--wait=false"
                )

                def renewed(node: str = node, old: str = old) -> bool:
                    assert str(flow.ask().source) == EIP
                    assert world.source("client-w1") == EIP
                    pods = world.lab.kubectl_json(
                        "get",
                        "pods",
                        "--namespace",
                        product.NAMESPACE,
                        "--selector",
                        "app.kubernetes.io/component=agent",
                        "--field-selector",
                        f"spec.nodeName={node}",
                    )["items"]
                    return any(
                        p["metadata"]["name"] != old
                        and all(s["ready"] for s in p["status"].get("containerStatuses", [{}]) if s)
                        and p["status"].get("containerStatuses")
                        for p in pods
                    )

                world.lab.wait(f"a new agent on {node}", renewed, timeout=60)
                seen = {str(s.source) for s in world.lab.outside_log(since=began)}
                assert seen == {EIP}, seen


def test_the_other_controller_takes_over(world: World) -> None:
    lease = world.lab.kubectl_json("get", "lease", "--namespace", product.NAMESPACE)["items"]
    holder = next(
        item["spec"]["holderIdentity"] for item in lease if "controller" in item["metadata"]["name"]
    )
    pods = world.lab.kubectl_json(
        "get",
        "pods",
        "--namespace",
        product.NAMESPACE,
        "--selector",
        "app.kubernetes.io/component=controller",
    )["items"]
    leader = next(p["metadata"]["name"] for p in pods if p["metadata"]["name"] in holder)
    world.lab.kubectl("delete", "pod", leader, "--namespace", product.NAMESPACE, "--wait=false")
    with world.having(world.policy("after", {"appliedTo": selected(pod="client-w1")})):
        world.wait_source("client-w1", EIP)


def test_deleting_the_gateway_closes_and_giving_it_back_restores(world: World) -> None:
    gateway = {
        "apiVersion": "outgate.dev/v1beta1",
        "kind": "EgressGateway",
        "metadata": {"name": "brief"},
        "spec": {
            "ippools": {"ipv4": ["172.30.0.170"]},
            "nodeSelector": {"selector": {"matchLabels": {"egressgateway": "true"}}},
        },
    }
    policy = world.policy(
        "briefly", {"appliedTo": selected(pod="client-w1"), "egressGatewayName": "brief"}
    )
    with world.having(gateway), world.having(policy):
        world.wait_source("client-w1", "172.30.0.170")
        # Closed also in the family for which the gateway has no pool.
        assert world.source("client-w1", 6, timeout=1.0) == ""
        world.delete(gateway)
        world.wait_condition(policy, "False", "GatewayNotFound")
        world.wait_source("client-w1", "")
        world.apply(gateway)
        world.wait_source("client-w1", "172.30.0.170")


def test_a_dead_gateway_node_loses_its_addresses_to_the_other(world: World) -> None:
    with world.having(world.policy("moved", {"appliedTo": selected(pod="client-w1")})) as (p,):
        world.wait_source("client-w1", EIP)
        dead = p["status"]["node"]
        other = {"gw1": "gw2", "gw2": "gw1"}[dead]
        began = time.time()
        world.lab.kill_node(dead)
        try:
            world.lab.wait(
                "the address to move",
                lambda: world.get(p)["status"].get("node") == other,
                timeout=90,
            )
            world.lab.wait(
                "traffic to come back",
                lambda: world.source("client-w1", timeout=1.0) == EIP,
                timeout=30,
            )
        finally:
            world.lab.start_node(dead)
        seen = {
            str(s.source)
            for s in world.lab.outside_log(since=began)
            if str(s.destination) == OUTSIDE[4]
        }
        assert seen == {EIP}
        # No failback by default: the returned node does not take the address again.
        world.lab.wait(
            "the returned node to be eligible",
            lambda: (
                {
                    n["name"]: n["status"]
                    for n in world.lab.kubectl_json("get", "egw", "default")["status"]["nodeList"]
                }.get(dead)
                == "Ready"
            ),
            timeout=90,
        )
        assert world.get(p)["status"]["node"] == other
        world.lab.wait("one holder", lambda: world.holders(EIP) == (other,))


def drain(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`outgate drain`, as somebody with the cluster's kubeconfig would run it."""
    kubeconfig = ["--kubeconfig", str(world.lab.paths.admin_kubeconfig)]
    command = [str(Path(sys.executable).with_name("outgate")), "drain", *arguments, *kubeconfig]
    # The machine's proxy does not lead into the lab.
    direct = ["env", "--unset=HTTPS_PROXY", "--unset=https_proxy", *command]
    argv = world.lab.exec_argv(CONTROL_PLANE, direct)
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_cordoning_the_holder_moves_its_addresses_without_a_leak(world: World) -> None:
    with world.having(world.policy("drained", {"appliedTo": selected(pod="client-w1")})) as (p,):
        world.wait_source("client-w1", EIP)
        node = p["status"]["node"]
        began = time.time()
        world.lab.kubectl("cordon", node)
        try:
            world.lab.wait(
                "the address to move", lambda: world.get(p)["status"].get("node") not in ("", node)
            )
            world.wait_source("client-w1", EIP)
            status = world.lab.kubectl_json("get", "egw", "default")["status"]["nodeList"]
            assert {n["reason"] for n in status if n["name"] == node} == {"Cordoned"}
        finally:
            world.lab.kubectl("uncordon", node)
        assert {str(s.source) for s in world.lab.outside_log(since=began)} == {EIP}


def test_a_drained_node_has_no_address_until_that_is_undone(world: World) -> None:
    with world.having(world.policy("moved", {"appliedTo": selected(pod="client-w1")})) as (p,):
        world.wait_source("client-w1", EIP)
        node = p["status"]["node"]
        began = time.time()
        drained = drain(world, node)
        try:
            assert f"{node} is drained: no address is on it" in drained.stdout
            assert world.get(p)["status"]["node"] not in ("", node)
            world.wait_source("client-w1", EIP)
            shown = world.lab.kubectl("get", "egw", "default", "-o", "yaml")
            assert f"outgate drain --undo {node}" in shown
        finally:
            assert drain(world, "--undo", node).returncode == 0
        assert {str(s.source) for s in world.lab.outside_log(since=began)} == {EIP}


def test_without_a_gateway_node_traffic_is_closed_and_kubectl_says_why(world: World) -> None:
    policy = world.policy("nowhere", {"appliedTo": selected(pod="client-w1")})
    with world.having(policy):
        world.wait_source("client-w1", EIP)
        world.lab.kubectl("label", "nodes", "gw1", "gw2", "egressgateway-")
        try:
            world.wait_condition(policy, "False", "NoEligibleNode")
            world.wait_source("client-w1", "")
            shown = world.lab.kubectl(
                "get", "egp", "nowhere", "--namespace", NAMESPACE, "-o", "wide"
            )
            assert "NoEligibleNode" in shown
        finally:
            world.lab.kubectl("label", "nodes", "gw1", "gw2", "egressgateway=true")
        world.wait_source("client-w1", EIP)
