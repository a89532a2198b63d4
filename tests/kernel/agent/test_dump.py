"""`outgate-agent dump`: the plan, the kernel's state and their difference, from a living agent."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel.agent.test_agent import EIP, World, eventually
from kernel.harness import Topology, pod_address

pytestmark = pytest.mark.kernel

DUMP = f"{sys.executable} -m outgate.agent dump"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    topology = Topology()
    made = World(topology, tmp_path_factory.mktemp("dump"))
    try:
        made.policy()
        made.start()
        made.settle()
        yield made
    finally:
        made.delete()


def test_a_settled_node_holds_what_is_planned(world: World) -> None:
    said = world.topology.nodes["first"].run(DUMP)
    assert said.splitlines()[0] == "node first"
    assert "2 pod addresses under policies, in 1 classes" in said
    assert str(pod_address("first", 6)) in said
    assert "policy shop/p: to everywhere outside" in said
    assert "egress id 11 (IPv4), 12 (IPv6)" in said
    assert "11 -> first" in said
    assert f"{EIP[4]} (egress id 11): on eth0" in said
    assert said.endswith("the kernel holds what is planned\n")


def test_the_difference_is_what_would_repair_it(world: World) -> None:
    node = world.topology.nodes["worker"]
    repairs = (
        "the kernel differs from the plan",
        "changelink",
        "mtu=1450",
        "add route table=7701 gateway=198.18.192.2",
        "nft add element inet outgate next_hop {",
    )

    def seen_to_differ() -> bool:
        # The agent may have been quicker: then once more.
        node.ip("link set outgate mtu 1300", "route flush table 7701")
        node.run("nft delete element inet outgate next_hop { 0x000b0000 }", check=False)
        said = node.run(DUMP)
        return all(repair in said for repair in repairs)

    eventually(seen_to_differ)
    eventually(lambda: node.run(DUMP).endswith("the kernel holds what is planned\n"), within=8.0)


def test_for_programs_there_is_all_of_it(world: World) -> None:
    said = json.loads(world.topology.nodes["worker"].run(f"{DUMP} --json"))
    assert said["difference"] == {"rules": [], "mesh": []}
    assert said["view"]["nextHops"] == {
        "11": "first", "12": "first", "21": "first", "22": "first", "30": "second"
    }  # fmt: skip
    assert said["desired"]["mesh"] == said["observed"]["mesh"]
    assert "table inet outgate {" in said["desired"]["rules"]
    assert "table inet outgate {" in said["observed"]["rules"]
    assert said["desired"]["mesh"][0]["kind"] == "link"


def test_a_look_does_not_hide_drift_from_the_agent(world: World) -> None:
    node = world.topology.nodes["worker"]

    def seen_to_differ() -> bool:
        # The agent may have been quicker: then once more.
        node.run("nft flush chain inet outgate begin")
        return "the kernel differs" in node.run(DUMP)

    eventually(seen_to_differ)
    eventually(lambda: "next_hop" in node.run("nft list chain inet outgate begin"), within=5.0)


def test_an_agent_that_is_not_programmed_says_why(world: World, tmp_path: Path) -> None:
    agent = world.agents["second"]
    agent.halt()
    node = world.topology.nodes["second"]
    done = subprocess.run(
        ["nsenter", f"--net={node.path}", "--", *DUMP.split()],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "no agent answers at http://127.0.0.1:7791/debug/plan" in done.stderr
    assert "kubectl exec" in done.stderr
    node.ip("link set eth0 down")
    node.ip("route flush default", "link set eth0 up")
    agent.start()
    eventually(lambda: "problem: not programmed: " in node.run(DUMP, check=False))
