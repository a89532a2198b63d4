"""The gateways that a node is a member of."""

from collections.abc import Collection, Mapping
from ipaddress import ip_address

import msgspec
import pytest
from unit.agent.cluster import EIP4, EIP6, ID4, ID6, ID_NODE, gateway

from outgate.agent.groups import eligible_of, groups_of
from outgate.api.gateway import EgressGateway, GatewayNode
from outgate.api.view import GatewayGroup, IPAddress

FOUR, SIX = ip_address(EIP4), ip_address(EIP6)
ENTRIES = ((EIP4, ID4, "node-b"), (EIP6, ID6, "node-b"), ("", ID_NODE, "node-b"))


def group(
    members: Mapping[str, bool], *, holds: Collection[IPAddress] = (), failback: bool = False
) -> GatewayGroup | None:
    """node-a's group of the one gateway, if it is in it."""
    made = gateway(*ENTRIES, nodes=members, failback=failback)
    found = groups_of([made], node="node-a", holds=holds)
    return found[0] if found else None


def test_a_member_settles_all_addresses_with_all_members_and_the_nodes_own_with_nobody() -> None:
    assert group({"node-a": True, "node-b": True, "node-c": False}) == GatewayGroup(
        name="egw",
        uid="uid-egw",
        addresses=frozenset((FOUR, SIX)),
        members=frozenset(("node-a", "node-b", "node-c")),
        eligible=frozenset(("node-a", "node-b")),
        failback=False,
    )


@pytest.mark.parametrize(
    ("members", "holds", "in_it", "eligible"),
    [
        ({"node-a": True}, (), True, True),
        ({"node-a": False}, (), True, False),
        ({"node-a": False}, (FOUR,), True, False),
        ({"node-b": True}, (), False, False),
        ({"node-b": True}, (SIX,), True, False),
        ({"node-b": True}, (ip_address("203.0.113.250"),), False, False),
        ({}, (FOUR,), False, False),
        ({"node-b": False}, (FOUR,), False, False),
        ({}, (), False, False),
    ],
    ids=[
        "eligible",
        "cordoned",
        "cordoned, and holds one still",
        "no member",
        "no member any more, and holds one still",
        "no member, and holds another gateway's",
        "nobody is any more: there is none to hand it to",
        "nobody is eligible to hand it to",
        "nobody is",
    ],
)
def test_who_has_an_address_to_hand_over_stays_a_member_and_takes_no_other(
    members: Mapping[str, bool], holds: tuple[IPAddress, ...], in_it: bool, eligible: bool
) -> None:
    found = group(members, holds=holds)
    assert (found is not None) == in_it
    if found is not None:
        assert found.members == {*members, "node-a", "node-b"}
        assert ("node-a" in found.eligible) == eligible


def test_who_is_no_candidate_any_more_is_spoken_to_until_it_holds_nothing() -> None:
    found = group({"node-a": True})
    assert found is not None
    assert found.members == {"node-a", "node-b"}
    assert found.eligible == {"node-a"}
    free = gateway((EIP4, ID4, ""), ("", ID_NODE, "node-b"), nodes={"node-a": True})
    (alone,) = groups_of([free], node="node-a", holds=())
    assert alone.members == {"node-a"}


@pytest.mark.parametrize("failback", [True, False])
def test_failback_is_as_the_gateway_says(failback: bool) -> None:
    found = group({"node-a": True}, failback=failback)
    assert found is not None and found.failback is failback


def test_groups_come_by_name_and_what_is_no_address_is_left_out() -> None:
    nodes = {"node-a": True}
    gateways = [
        gateway(("203.0.113.9", 3, ""), name="b", nodes=nodes),
        gateway(("what", 1, ""), ("203.0.113.8", 2, ""), name="a", nodes=nodes),
        gateway(name="c", nodes={"node-b": True}),
    ]
    found = groups_of(gateways, node="node-a", holds=())
    assert [(one.name, one.addresses) for one in found] == [
        ("a", frozenset([ip_address("203.0.113.8")])),
        ("b", frozenset([ip_address("203.0.113.9")])),
    ]


def listed(**reasons: str) -> EgressGateway:
    """A gateway with these candidates, and why each is not eligible."""
    made = gateway(*ENTRIES)
    nodes = tuple(
        GatewayNode(name=node, status="NotReady" if why else "Ready", reason=why)
        for node, why in reasons.items()
    )
    status = msgspec.structs.replace(made.status, node_list=nodes)
    return msgspec.structs.replace(made, status=status)


@pytest.mark.parametrize(
    ("reasons", "eligible"),
    [
        ({"a": "", "b": "Unfit"}, {"a"}),
        ({"a": "Unfit", "b": "Unfit", "c": "Cordoned"}, {"a", "b"}),
        ({"a": "Cordoned", "b": "AgentSilent"}, set()),
    ],
)
def test_unfit_nodes_may_hold_where_nobody_is_better(
    reasons: dict[str, str], eligible: set[str]
) -> None:
    assert eligible_of(listed(**reasons)) == eligible
