"""`outgate drain` against an API server in memory, with a controller that follows."""

from collections.abc import Callable
from typing import Any

import pytest

from outgate.api.core import DRAINED_ANNOTATION
from outgate.api.gateway import EgressGateway
from outgate.api.kinds import EGRESS_GATEWAY, NODE
from outgate.cli.drain import NotDrained, left, mark, wait
from outgate.kube.errors import ApiUnavailable
from outgate.kube.fake import FakeApi


def gateway(
    name: str, *, on: dict[str, str], ready: dict[str, str] | None = None
) -> dict[str, Any]:
    """A gateway whose addresses are on these nodes; `ready`: by node, the reason why not."""
    nodes = {"n1": "Drained", "n2": ""} if ready is None else ready
    return {
        "metadata": {"name": name},
        "spec": {"nodeSelector": {"selector": {}}},
        "status": {
            "nodeList": [
                {"name": node, "status": "NotReady" if why else "Ready", "reason": why}
                for node, why in nodes.items()
            ],
            "addresses": [
                {"address": address, "id": number, "node": node, "epoch": 3}
                for number, (address, node) in enumerate(on.items(), 1)
            ],
        },
    }


@pytest.fixture
def api() -> FakeApi:
    made = FakeApi()
    for name in ("n1", "n2"):
        made.put(NODE, {"metadata": {"name": name, "annotations": {"other": "stays"}}})
    return made


def annotations(api: FakeApi, name: str) -> dict[str, str]:
    node = api.get(NODE, name)
    assert node is not None
    return node.metadata.annotations


def wait_for(api: FakeApi, say: Callable[[str], object], pause: Callable[[float], object]) -> None:
    now = [0.0]

    def passes(seconds: float) -> None:
        now[0] += seconds
        pause(seconds)

    wait(api, "n1", deadline=10.0, say=say, clock=lambda: now[0], pause=passes)


def test_a_node_is_marked_and_unmarked_and_the_rest_stays(api: FakeApi) -> None:
    mark(api, "n1", drained=True)
    assert annotations(api, "n1") == {"other": "stays", DRAINED_ANNOTATION: "true"}
    mark(api, "n1", drained=False)
    assert annotations(api, "n1") == {"other": "stays"}


def test_an_unknown_node_is_refused_with_those_there_are_and_none_is_made(api: FakeApi) -> None:
    with pytest.raises(NotDrained, match="there is no node n3; there are n1, n2"):
        mark(api, "n3", drained=True)
    assert api.get(NODE, "n3") is None


@pytest.mark.parametrize(
    ("gateways", "said"),
    [
        ([], ()),
        ([gateway("a", on={"192.0.2.1": "n2"})], ()),
        ([gateway("a", on={"192.0.2.1": "n1"})], ("192.0.2.1 of gateway a",)),
        (
            [gateway("b", on={"": "n1"}), gateway("a", on={"192.0.2.1": "n1"})],
            ("192.0.2.1 of gateway a", "the node's own address of gateway b"),
        ),
        (
            [gateway("a", on={f"192.0.2.{n}": "n1" for n in range(1, 8)})],
            ("192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4, 192.0.2.5 and 2 more of gateway a",),
        ),
        (
            [gateway("a", on={"192.0.2.1": "n1"}, ready={"n1": "Drained", "n2": "NotReady"})],
            ("192.0.2.1 of gateway a (no other node is eligible: n2 NotReady)",),
        ),
        (
            [gateway("a", on={"192.0.2.1": "n1"}, ready={"n1": "Drained"})],
            ("192.0.2.1 of gateway a (which has no other node)",),
        ),
    ],
)
def test_what_is_left_is_told_and_why(
    gateways: list[dict[str, Any]], said: tuple[str, ...]
) -> None:
    api = FakeApi()
    made = [api.put(EGRESS_GATEWAY, one) for one in gateways]
    assert all(isinstance(one, EgressGateway) for one in made)
    assert left(made, node="n1") == said


def test_it_waits_until_the_last_address_has_moved_and_tells_each_step_once(api: FakeApi) -> None:
    steps = [
        {"192.0.2.1": "n1", "192.0.2.2": "n1"},
        {"192.0.2.1": "n1", "192.0.2.2": "n1"},
        {"192.0.2.1": "n2", "192.0.2.2": "n1"},
        {"192.0.2.1": "n2", "192.0.2.2": "n2"},
    ]
    said: list[str] = []

    def step(_: float) -> None:
        api.put(EGRESS_GATEWAY, gateway("a", on=steps.pop(0)))

    step(0.0)
    wait_for(api, said.append, step)
    assert said == [
        "to move from n1: 192.0.2.1, 192.0.2.2 of gateway a",
        "to move from n1: 192.0.2.2 of gateway a",
    ]
    assert not steps


def test_past_the_deadline_it_tells_what_is_left_and_what_happens_next(api: FakeApi) -> None:
    api.put(EGRESS_GATEWAY, gateway("a", on={"192.0.2.1": "n1"}, ready={"n2": "Cordoned"}))
    with pytest.raises(NotDrained, match=r"n2 Cordoned.*The node stays drained.*--undo n1"):
        wait_for(api, lambda _: None, lambda _: None)


def test_an_api_server_that_is_away_for_a_moment_is_waited_for(api: FakeApi) -> None:
    api.put(EGRESS_GATEWAY, gateway("a", on={"192.0.2.1": "n2"}))
    api.fail("list", ApiUnavailable("refused"))
    said: list[str] = []
    wait_for(api, said.append, lambda _: None)
    assert said == ["to move from n1: refused"]
