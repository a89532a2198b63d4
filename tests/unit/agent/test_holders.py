"""Whom a node sends an egress id's packets to: the latest claim, by whichever way it was heard."""

from ipaddress import ip_address
from itertools import permutations

import pytest

from outgate.agent.egress import EgressTable
from outgate.agent.holders import NOTHING_SAID, Claims, next_hops
from outgate.api.hold import Hold

ID, OWN_ID = 7, 9
EIP = ip_address("203.0.113.7")
HERE, B, C = "node-a", "node-b", "node-c"


def hop(
    api: Hold | None,
    *,
    heard: Hold | None = None,
    own: int | None = None,
    speaks: bool = True,
) -> str | None:
    """The next hop of the address on node-a.

    api: what the gateway's status says; heard: what another node said; own: the epoch of node-a's
    claim; speaks: whether its vip process has said anything.
    """
    table = EgressTable({}, {ID: api} if api else {}, {ID: EIP}, ())
    claims = Claims(
        own=({} if own is None else {EIP: own}) if speaks else None,
        heard={EIP: heard} if heard else {},
    )
    return next_hops(table, claims, node=HERE).get(ID)


@pytest.mark.parametrize(
    ("api", "heard", "own", "expected"),
    [
        (None, None, None, None),
        (Hold(4, B), None, None, B),
        (None, Hold(4, B), None, B),
        (Hold(4, B), Hold(5, C), None, C),
        (Hold(5, B), Hold(4, C), None, B),
        (Hold(4, B), None, 5, HERE),
        (None, None, 5, HERE),
        (Hold(4, B), Hold(6, C), 5, C),
        (Hold(6, B), Hold(4, C), 5, B),
        (Hold(4, HERE), None, None, None),
        (Hold(9, HERE), Hold(4, B), None, B),
        (Hold(9, HERE), Hold(6, B), 5, B),
        (None, Hold(9, HERE), None, None),
        (Hold(4, HERE), None, 4, HERE),
    ],
    ids=[
        "nobody is known",
        "the API alone",
        "heard before the API knows",
        "heard is newer",
        "heard is older: a late datagram",
        "own claim is newer",
        "own claim before the API knows",
        "another has taken it since, as heard",
        "another has taken it since, as the API says",
        "the API says this node, its process has lost it",
        "lost it, and another has it by a lower epoch",
        "an old status of this node does not outvote others",
        "others say this node, its process knows better",
        "all agree on this node",
    ],
)
def test_the_latest_claim_has_it(
    api: Hold | None, heard: Hold | None, own: int | None, expected: str | None
) -> None:
    assert hop(api, heard=heard, own=own) == expected


@pytest.mark.parametrize(
    ("api", "heard"), list(permutations((Hold(4, B), Hold(4, C)), 2)), ids=["b, c", "c, b"]
)
def test_of_one_epoch_the_greater_name_has_it_whoever_was_heard_first(
    api: Hold, heard: Hold
) -> None:
    assert hop(api, heard=heard) == C
    assert hop(api, heard=Hold(4, B), own=4) == max(HERE, api.node)


@pytest.mark.parametrize("node", [HERE, B])
def test_until_the_own_process_has_spoken_the_api_is_believed(node: str) -> None:
    assert hop(Hold(4, node), speaks=False) == node
    assert hop(None, speaks=False) is None


@pytest.mark.parametrize("claims", [NOTHING_SAID, Claims(own={}, heard={EIP: Hold(99, C)})])
def test_the_gateway_nodes_own_address_is_where_the_controller_says(claims: Claims) -> None:
    # Nobody claims it: the vip processes know of addresses only.
    for node in (HERE, B):
        table = EgressTable({}, {OWN_ID: Hold(0, node)}, {OWN_ID: None}, ())
        assert next_hops(table, claims, node=HERE) == {OWN_ID: node}
    assert next_hops(EgressTable({}, {}, {OWN_ID: None}, ()), claims, node=HERE) == {}


def test_an_address_that_is_not_in_use_has_no_next_hop_whoever_claims_it() -> None:
    table = EgressTable({}, {}, {}, ())
    assert next_hops(table, Claims(own={EIP: 3}, heard={EIP: Hold(4, B)}), node=HERE) == {}
