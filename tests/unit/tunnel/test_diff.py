"""The order of operations."""

from dataclasses import replace
from ipaddress import ip_address

from views import SETTINGS, SMALL

from outgate.tunnel.diff import diff
from outgate.tunnel.model import (
    Add,
    AddLink,
    Address,
    Bypass,
    ChangeLink,
    Delete,
    DeleteLink,
    FdbEntry,
    Landing,
    Mesh,
    Neighbour,
    OuterRule,
    Route,
    Rule,
    Unmarked,
)
from outgate.tunnel.plan import plan

MESH = plan(SMALL, SETTINGS)
ORDER = [FdbEntry, Neighbour, Address, Route, OuterRule, Landing, Bypass, Unmarked, Rule]


def test_what_is_used_is_made_before_what_uses_it() -> None:
    first, *rest = diff(Mesh(), MESH)

    assert isinstance(first, AddLink)
    sorts = [ORDER.index(type(each.object)) for each in rest if isinstance(each, Add)]
    assert len(sorts) == len(rest) and sorts == sorted(sorts)


def test_removal_is_the_reverse() -> None:
    *rules, last = diff(MESH, Mesh())

    assert last == DeleteLink(SETTINGS.device)  # takes what hangs on it along
    assert all(isinstance(each, Delete) for each in rules)
    assert isinstance(rules[-1], Delete) and isinstance(rules[-1].object, OuterRule)


def test_another_mtu_changes_the_device_in_place() -> None:
    wider = plan(SMALL, replace(SETTINGS, mtu=1400))

    assert wider.link is not None
    assert diff(MESH, wider) == (ChangeLink(wider.link),)


def test_another_underlay_address_makes_the_device_anew() -> None:
    moved = plan(
        replace(SMALL, node=replace(SMALL.node, underlay=ip_address("192.0.2.99"))), SETTINGS
    )

    operations = diff(MESH, moved)

    assert isinstance(operations[0], DeleteLink) and isinstance(operations[1], AddLink)
    assert not any(isinstance(each, Add) and isinstance(each.object, Rule) for each in operations)
