"""What the vip process is told, and what its report means."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from unit.agent.cluster import EIP4, EIP6, ID4, ID6, gateway, keyed, outcome, tunnel

from outgate.agent.holders import Claims
from outgate.agent.vip_word import claims_of, word_of
from outgate.api.hold import Hold
from outgate.api.view import IPAddress, NodeView
from outgate.vip.protocol import Claimed, Group, Report, Word

FOUR, SIX = ip_address(EIP4), ip_address(EIP6)
OTHER = "203.0.113.9"
GATEWAYS = keyed(
    gateway(
        (EIP6, ID6, ""), (EIP4, ID4, ""), nodes={"node-b": True, "node-a": False}, failback=True
    ),
    gateway((OTHER, 3, ""), name="elsewhere", nodes={"node-b": True}),
)
TUNNELS = keyed(tunnel("node-a", 1, mark=2), tunnel("node-b", 2, mark=1), tunnel("node-c", 3))


def view(mark: int = 2) -> NodeView:
    tunnels = {**TUNNELS, ("", "node-a"): tunnel("node-a", 1, mark=mark)}
    made = outcome(gateways=GATEWAYS, tunnels=tunnels).view
    assert made is not None
    return made


def test_the_word_is_all_that_the_nodes_settle_among_themselves() -> None:
    assert word_of(view(), interface="eth0") == Word(
        seq=0,
        node="node-a",
        interface="eth0",
        nodes={"node-a": "192.0.2.1", "node-b": "192.0.2.2", "node-c": "192.0.2.3"},
        groups=(
            Group(
                gateway="egw",
                uid="uid-egw",
                addresses=(EIP4, EIP6),
                members=("node-a", "node-b"),
                eligible=("node-b",),
                failback=True,
            ),
        ),
        ids={EIP4: ID4, EIP6: ID6, OTHER: 3},
        indexes={"node-a": 1, "node-b": 2, "node-c": 3},
        standby=True,
    )


def test_who_is_no_candidate_speaks_to_candidates_only_and_loads_nothing() -> None:
    word = word_of(view(mark=0), interface="eth0")
    assert set(word.nodes) == set(word.indexes) == {"node-a", "node-b"}
    assert not word.standby


@pytest.mark.parametrize(
    ("only", "said"),
    [
        (None, (EIP4, EIP6)),
        ((FOUR, SIX), (EIP4, EIP6)),
        ((SIX,), (EIP6,)),
        ((ip_address(OTHER),), ()),
        ((), ()),
    ],
)
def test_of_the_addresses_only_those_that_are_served(
    only: tuple[IPAddress, ...] | None, said: tuple[str, ...]
) -> None:
    (group,) = word_of(view(), interface="eth0", only=only).groups
    assert group.addresses == said
    assert group.members == ("node-a", "node-b")  # a group without addresses is a group


def test_addresses_are_in_the_order_of_numbers_not_of_letters() -> None:
    entries = [(f"203.0.113.{n}", n, "") for n in (100, 20, 3)]
    gateways = keyed(gateway(*entries, nodes={"node-a": True}))
    made = replace(view(), groups=outcome(gateways=gateways).view.groups)  # type: ignore[union-attr]
    (group,) = word_of(made, interface="eth0").groups
    assert group.addresses == ("203.0.113.3", "203.0.113.20", "203.0.113.100")


def test_claims_are_by_address_with_their_epochs() -> None:
    report = Report(
        3,
        claims=(Claimed("node-a", "egw", 4, (EIP4,)), Claimed("node-a", "egw", 6, (EIP6,))),
        heard=(Claimed("node-b", "elsewhere", 5, (OTHER, "203.0.113.10")),),
    )
    assert claims_of(report) == Claims(
        own={FOUR: 4, SIX: 6},
        heard={
            ip_address(OTHER): Hold(5, "node-b"),
            ip_address("203.0.113.10"): Hold(5, "node-b"),
        },
    )


def test_a_report_without_claims_says_that_this_node_holds_nothing() -> None:
    assert claims_of(Report(3)).own == {}
