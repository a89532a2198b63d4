"""What a human is told."""

import socket

import pytest
from click.testing import CliRunner

from outgate.agent.__main__ import main
from outgate.agent.dump import AgentAway, ask, text

VIEW = {
    "classes": {"7": ["team/a", "all"]},
    "pods": {"10.244.1.5": {"class": 7, "policies": ["team/a", "all"]}},
    "policies": {
        "team/a": {
            "destinations": ["203.0.113.0/24"],
            "exclusions": ["203.0.113.9/32"],
            "egress4": 3,
            "egress6": 65535,
        }
    },
    "nextHops": {"3": "node-b", "4": "node-a", "5": "node-a", "6": "node-a", "7": "node-b"},
    "held": [
        {"id": 4, "addresses": ["198.51.100.7"]},
        {"id": 5, "addresses": ["198.51.100.8"]},
        {"id": 6, "addresses": ["192.0.2.1"]},
        {"id": 7, "addresses": ["198.51.100.9"]},
        {"id": 8, "addresses": ["198.51.100.10"]},
    ],
}
DOCUMENT = {
    "node": "node-a",
    "problem": "",
    "view": VIEW,
    "addresses": [
        {"address": "198.51.100.7", "interface": "eth0", "error": ""},
        {"address": "198.51.100.8", "interface": "", "error": "no such link"},
    ],
    "difference": {"rules": [], "mesh": []},
}


def test_the_summary_comes_first_and_the_verdict_last() -> None:
    assert text(DOCUMENT).splitlines() == [
        "node node-a",
        "1 pod addresses under policies, in 1 classes",
        "  class 7: team/a, all",
        "    10.244.1.5",
        "policy team/a: to 203.0.113.0/24 but 203.0.113.9/32",
        "  egress id 3 (IPv4), none, dropped (IPv6)",
        "5 egress ids have a next hop",
        "  3 -> node-b",
        "  4 -> node-a",
        "  5 -> node-a",
        "  6 -> node-a",
        "  7 -> node-b",
        "3 addresses are held here; 2 may come to be",
        "  198.51.100.7 (egress id 4): on eth0",
        "  198.51.100.8 (egress id 5): NOT HELD: no such link",
        "  192.0.2.1 (egress id 6): the node's own, or the vip process has not said",
        "",
        "the kernel holds what is planned",
    ]


def test_the_difference_is_said_operation_by_operation() -> None:
    route = {"operation": "add", "kind": "route", "object": {"table": 7701, "gateway": "x"}}
    gone = {"operation": "deletelink", "name": "outgate"}
    difference = {"rules": ["flush chain inet outgate steer"], "mesh": [route, gone]}
    lines = text({**DOCUMENT, "difference": difference}).splitlines()
    assert lines[-4:] == [
        "the kernel differs from the plan; this would repair it:",
        "  add route table=7701 gateway=x",
        "  deletelink name=outgate",
        "  nft flush chain inet outgate steer",
    ]


def test_a_node_that_is_not_programmed_says_why() -> None:
    said = text({"node": "node-a", "problem": "not programmed: waiting for the API: pods"})
    assert said == "node node-a\nproblem: not programmed: waiting for the API: pods\n"


def test_without_an_agent_the_error_says_where_to_run_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening
        port = taken.getsockname()[1]
        with pytest.raises(AgentAway, match="no agent answers"):
            ask(port, path="/debug/plan")
        done = CliRunner().invoke(main, ["--http-port", str(port), "dump"])
    assert done.exit_code == 1
    assert "kubectl exec POD -c agent -- outgate-agent dump" in done.output
