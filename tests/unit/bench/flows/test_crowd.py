from collections import Counter

from bench.flows.crowd import FLOWS, SHARED, wanted
from bench.flows.talk import Plan


def test_half_of_the_flows_are_pushed_by_the_server() -> None:
    flows = wanted(("a", "b"))
    assert len(flows) == FLOWS
    assert sum(flow.pushed for flow in flows) == FLOWS // 2


def test_some_ports_are_used_by_both_pods_and_none_twice_by_one() -> None:
    flows = wanted(("a", "b"))
    assert len({(flow.namespace, flow.port) for flow in flows}) == FLOWS
    ports = Counter(flow.port for flow in flows)
    assert sum(count == 2 for count in ports.values()) == SHARED


def test_flows_of_both_kinds_are_remapped() -> None:
    first, second = (
        {flow.port: flow.pushed for flow in wanted(("a", "b")) if flow.namespace == name}
        for name in "ab"
    )
    assert {second[port] for port in first.keys() & second.keys()} == {True, False}


def test_a_later_crowd_has_ports_of_its_own() -> None:
    ports = [{flow.port for flow in wanted(("a", "b"), first=first)} for first in (1000, 1200)]
    assert not ports[0] & ports[1]


def test_a_plan_is_read_as_it_was_written() -> None:
    plan = Plan("/ns", "192.0.2.1", 80, wanted(("a", "b"), flows=4, shared=1))
    assert Plan.parse(plan.text()) == plan
