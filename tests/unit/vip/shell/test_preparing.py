"""Whose flows a planned move waits for, and for how long."""

from collections.abc import Callable
from ipaddress import ip_address

from outgate.api.view import IPAddress
from outgate.vip.shell.preparing import ASK, Preparing

A, B, C = (ip_address(f"203.0.113.{last}") for last in (7, 8, 9))
IDS = {A: 1, B: 2}
ALL = frozenset((1, 2))
BOTH = {1, 2}


def begun(*nodes: str, now: float = 0.0) -> Preparing:
    preparing = Preparing()
    preparing.begin("internet", IDS, nodes, until=3.0, now=now)
    return preparing


def ready(preparing: Preparing, *, now: float) -> list[tuple[str, set[IPAddress], set[str]]]:
    return [(one.gateway, set(one.addresses), set(one.missing)) for one in preparing.ready(now=now)]


def asked(
    preparing: Preparing, knows: Callable[[str], bool], *, now: float
) -> list[tuple[str, set[int]]]:
    return [(node, set(ids)) for node, ids in preparing.ask(knows, now=now)]


def everybody(node: str) -> bool:
    return True


def test_each_node_is_asked_once() -> None:
    preparing = begun("b", "c")
    assert asked(preparing, everybody, now=0.0) == [("b", BOTH), ("c", BOTH)]
    assert asked(preparing, everybody, now=ASK) == []


def test_who_has_not_said_hello_is_asked_a_little_later() -> None:
    preparing = begun("b", "c")
    assert asked(preparing, lambda node: node == "b", now=0.0) == [("b", BOTH)]
    assert preparing.next_due() == ASK
    assert asked(preparing, everybody, now=ASK / 2) == []
    assert asked(preparing, everybody, now=ASK) == [("c", BOTH)]
    assert preparing.next_due() == 3.0


def test_what_is_complete_first_is_ready_first() -> None:
    preparing = begun("b", "c")
    preparing.complete("b", ALL)
    assert ready(preparing, now=0.1) == []
    preparing.complete("c", frozenset((2,)))
    assert ready(preparing, now=0.2) == [("internet", {B}, set())]
    assert ready(preparing, now=0.2) == [], "once"
    preparing.complete("c", frozenset((1,)))
    assert ready(preparing, now=0.3) == [("internet", {A}, set())]
    assert preparing.next_due() == float("inf")


def test_after_its_time_nobody_is_waited_for_and_it_is_said_who_is_missing() -> None:
    preparing = begun("b", "c")
    preparing.complete("b", ALL)
    assert ready(preparing, now=3.0) == [("internet", {A, B}, {"c"})]


def test_without_other_nodes_all_is_there() -> None:
    assert ready(begun(), now=0.0) == [("internet", {A, B}, set())]


def test_an_address_without_an_id_waits_for_nobody() -> None:
    preparing = Preparing()
    preparing.begin("internet", {A: 1, C: None}, ["b"], until=3.0, now=0.0)
    assert asked(preparing, everybody, now=0.0) == [("b", {1})]
    assert ready(preparing, now=0.0) == [("internet", {C}, set())]


def test_whose_stream_broke_is_asked_again_for_what_is_missing() -> None:
    preparing = begun("b")
    asked(preparing, everybody, now=0.0)
    preparing.complete("b", frozenset((1,)))
    preparing.lost("b", now=0.1)
    assert asked(preparing, everybody, now=0.1 + ASK) == [("b", {2})]
    preparing.complete("b", frozenset((2,)))
    preparing.lost("b", now=0.3)
    ready(preparing, now=0.3)
    assert asked(preparing, everybody, now=1.0) == []


def test_a_node_that_has_left_the_mesh_is_not_waited_for() -> None:
    preparing = begun("b", "c")
    preparing.complete("b", ALL)
    preparing.only(["a", "b"])
    assert ready(preparing, now=0.1) == [("internet", {A, B}, set())]


def test_two_moves_are_two_matters() -> None:
    preparing = begun("b")
    preparing.begin("partners", {C: 3}, ["b"], until=2.0, now=0.0)
    assert asked(preparing, everybody, now=0.0) == [("b", BOTH), ("b", {3})]
    assert ready(preparing, now=2.0) == [("partners", {C}, {"b"})]
    assert preparing.next_due() == 3.0
