"""The agent's word as events."""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest
from msgspec.structs import replace

from outgate.vip.engine.events import Event, FitnessChanged, GatewayGone, Membership
from outgate.vip.errors import PeerGone
from outgate.vip.protocol import Group, Word
from outgate.vip.shell.memberships import news, parse

GROUP = Group("internet", "uid-1", ("203.0.113.7",), ("a", "b"), ("b",))
TOLD = Membership(
    "internet",
    frozenset({ip_address("203.0.113.7")}),
    frozenset({"a", "b"}),
    frozenset({"b"}),
    failback=False,
)


def word(*groups: Group, seq: int = 1) -> Word:
    return Word(seq, "a", "eth0", {"a": "192.0.2.1"}, groups)


def other(**changes: Any) -> Group:
    return replace(GROUP, **changes)


@pytest.mark.parametrize(
    ("before", "after", "heard"),
    [
        pytest.param(None, word(), [], id="nothing to do"),
        pytest.param(None, word(GROUP), [TOLD], id="the first word"),
        pytest.param(
            None,
            word(other(unfit="no uplink")),
            [TOLD, FitnessChanged("internet", fit=False)],
            id="unfit from the start",
        ),
        pytest.param(word(GROUP), word(GROUP, seq=2), [], id="the same again"),
        pytest.param(
            word(GROUP),
            word(other(addresses=("203.0.113.7", "203.0.113.7"), members=("b", "a"))),
            [],
            id="the same in other words",
        ),
        pytest.param(word(GROUP), word(other(uid="uid-2")), [], id="only the uid"),
        pytest.param(
            word(GROUP),
            word(other(unfit="no uplink")),
            [FitnessChanged("internet", fit=False)],
            id="unfit",
        ),
        pytest.param(
            word(other(unfit="no uplink")),
            word(other(unfit="no tunnel")),
            [],
            id="unfit for another reason",
        ),
        pytest.param(
            word(other(unfit="no uplink")),
            word(GROUP),
            [FitnessChanged("internet", fit=True)],
            id="fit again",
        ),
        pytest.param(
            word(GROUP, other(gateway="x"), other(gateway="b")),
            word(GROUP),
            [GatewayGone("b"), GatewayGone("x")],
            id="two gateways less",
        ),
    ],
)
def test_the_engine_hears_what_is_new(before: Word | None, after: Word, heard: list[Event]) -> None:
    assert list(news(before, after)) == heard


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"addresses": ()}, lambda told: not told.addresses),
        ({"members": ("a",)}, lambda told: told.members == {"a"}),
        ({"eligible": ()}, lambda told: not told.eligible),
        ({"failback": True}, lambda told: told.failback),
    ],
    ids=["addresses", "members", "eligible", "failback"],
)
def test_each_part_of_a_membership_is_news(
    changes: dict[str, Any], differs: Callable[[Membership], bool]
) -> None:
    (told,) = news(word(GROUP), word(other(**changes)))
    assert isinstance(told, Membership)
    assert differs(told)


@pytest.mark.parametrize("text", ["seven", "", "203.0.113.0/24", "203.0.113.256"])
def test_what_is_no_address_ends_the_talk(text: str) -> None:
    with pytest.raises(PeerGone, match="not a message"):
        parse(text)
    with pytest.raises(PeerGone, match="not a message"):
        list(news(word(GROUP), word(other(addresses=("203.0.113.7", text)))))
