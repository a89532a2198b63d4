"""Conditions from what nodes see on their segments; and what of them is an Event."""

import msgspec
import pytest
from unit.controller.world import World

from outgate.api.kinds import EGRESS_TUNNEL
from outgate.api.meta import Condition
from outgate.api.tunnel import AddressTrouble, EgressTunnel
from outgate.controller.status import condition_of
from outgate.controller.troubles import Seen, findings, troubles_of

VIP, MAC = "198.51.100.10", "02:00:5e:00:53:01"


def trouble(reason: str, message: str = "", *, count: int = 1) -> AddressTrouble:
    return AddressTrouble(
        gateway="gw", reason=reason, addresses=(VIP,), count=count, message=message
    )


@pytest.mark.parametrize(
    ("seen", "type_", "holds", "reason", "words"),
    [
        ((), "AddressesUnique", True, "NoConflict", ""),
        ((), "ReturnPathWorks", True, "NoneFailed", ""),
        ((), "Coordinated", True, "Coordinated", ""),
        (
            (Seen("node-1", trouble("Conflict", MAC)),),
            "AddressesUnique",
            False,
            "AddressConflict",
            f"{MAC} answers for {VIP} too, which node-1 holds",
        ),
        (
            (Seen("node-1", trouble("Occupied", MAC, count=3)),),
            "AddressesUnique",
            False,
            "AddressConflict",
            f"{MAC} answers for {VIP} and 2 more, so node-1 does not take it",
        ),
        (
            (
                Seen("node-1", trouble("ReturnPathUnknown", "no router is known")),
                Seen("node-2", trouble("ReturnPathFailed")),
            ),
            "ReturnPathWorks",
            False,
            "ReturnPathFailed",
            f"packets to {VIP} do not come to node-2, which holds it",
        ),
        (
            (Seen("node-1", trouble("ReturnPathUnknown", "no router is known")),),
            "ReturnPathWorks",
            None,
            "ReturnPathUnknown",
            f"of {VIP} on node-1 it is not known: no router is known",
        ),
        (
            (Seen("node-1", trouble("Failsafe")),),
            "Coordinated",
            False,
            "Failsafe",
            f"node-1 holds {VIP} without word of the API server or all members",
        ),
        ((Seen("node-1", trouble("Newer")),), "AddressesUnique", True, "NoConflict", ""),
    ],
)
def test_what_nodes_see_is_a_condition(
    seen: tuple[Seen, ...], type_: str, holds: bool | None, reason: str, words: str
) -> None:
    (found,) = [one for one in findings(seen) if one.type == type_]
    assert (found.holds, found.reason, found.message) == (holds, reason, words)


def test_a_node_that_does_not_report_says_nothing() -> None:
    world = settled()
    report(world, "node-1", trouble("Conflict", MAC))
    tunnels: list[EgressTunnel] = list(world.objects["tunnels"].values())
    assert troubles_of(tunnels, reporting={"node-2"}) == {}
    assert [one.node for one in troubles_of(tunnels, reporting={"node-1"})["gw"]] == ["node-1"]


def settled() -> World:
    world = World()
    world.nodes_up("node-1", "node-2")
    world.gateway()
    world.policy()
    world.settle()
    world.told.clear()
    return world


def report(world: World, name: str, *troubles: AddressTrouble) -> None:
    known = world.objects["tunnels"]["", name]
    status = msgspec.structs.replace(known.status, troubles=troubles)
    world.put(EGRESS_TUNNEL, msgspec.structs.replace(known, status=status))


def condition(world: World, type_: str) -> Condition:
    found = condition_of(world.objects["gateways"]["", "gw"].status.conditions, type_)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("reason", "type_", "event"),
    [
        ("Conflict", "AddressesUnique", "AddressConflict"),
        ("Occupied", "AddressesUnique", "AddressConflict"),
        ("ReturnPathFailed", "ReturnPathWorks", "ReturnPathFailed"),
        ("Failsafe", "Coordinated", "Failsafe"),
    ],
)
def test_a_trouble_is_told_when_it_begins_and_when_it_is_over_and_written_no_oftener(
    reason: str, type_: str, event: str
) -> None:
    world = settled()
    report(world, "node-1", trouble(reason, MAC))
    world.settle()
    assert condition(world, type_).status == "False"
    assert [(tell.type, tell.reason) for tell in world.told] == [("Warning", event)]
    assert list(world.step().writes()) == []
    report(world, "node-1")
    world.settle()
    assert condition(world, type_).status == "True"
    assert [tell.type for tell in world.told] == ["Warning", "Normal"]


def test_a_way_back_that_is_not_known_is_shown_but_no_event() -> None:
    world = settled()
    report(world, "node-1", trouble("ReturnPathUnknown", "no router is known"))
    world.settle()
    assert condition(world, "ReturnPathWorks").status == "Unknown"
    report(world, "node-1")
    world.settle()
    assert world.told == []
