"""The mesh that a node makes of its view."""

from dataclasses import replace
from ipaddress import ip_address

from views import FIRST, SECOND, SETTINGS, SMALL, SMALL_GATEWAY, WORKER, mesh_node

from outgate.tunnel.model import (
    Address,
    Bypass,
    FdbEntry,
    Landing,
    Neighbour,
    OuterRule,
    Route,
    Rule,
    Unmarked,
)
from outgate.tunnel.plan import PLACEHOLDER_MAC, plan


def test_a_gateway_node_is_reached_by_its_mark() -> None:
    objects = plan(SMALL, SETTINGS).objects

    assert Route(7701, ip_address("198.18.192.2")) in objects
    assert Route(7701, ip_address("fd6f:7574:6761:7465::2")) in objects
    assert {Rule(4, 1, 0xFF, 7701), Rule(6, 1, 0xFF, 7701)} <= objects
    assert Neighbour(ip_address("198.18.192.2"), FIRST.mac) in objects
    assert FdbEntry(FIRST.mac, FIRST.underlay) in objects


def test_a_worker_does_not_know_other_workers() -> None:
    other = mesh_node(9)

    assert plan(replace(SMALL, peers=(*SMALL.peers, other)), SETTINGS) == plan(SMALL, SETTINGS)


def test_a_gateway_knows_where_every_node_is() -> None:
    objects = plan(SMALL_GATEWAY, SETTINGS).objects

    entries = {each for each in objects if isinstance(each, FdbEntry)}
    assert entries == {FdbEntry(peer.mac, peer.underlay) for peer in (WORKER, SECOND)}


def test_replies_have_one_next_hop_for_all_nodes() -> None:
    objects = plan(SMALL_GATEWAY, SETTINGS).objects

    assert Neighbour(ip_address("198.18.255.254"), PLACEHOLDER_MAC) in objects
    assert Route(7700 + 0xFF, ip_address("198.18.255.254")) in objects
    assert Rule(6, 0xFF, 0xFF, 7700 + 0xFF) in objects


def test_without_the_reply_route_there_is_no_such_hop() -> None:
    objects = plan(SMALL_GATEWAY, replace(SETTINGS, reply_route=False)).objects

    assert all(each.mac != PLACEHOLDER_MAC for each in objects if isinstance(each, Neighbour))


def test_tables_are_counted_from_the_lowest_bit_of_the_mask() -> None:
    settings = replace(SETTINGS, mark_mask=0x3F00)
    view = replace(SMALL, peers=(replace(FIRST, mark=0x0200),))

    assert Rule(4, 0x0200, 0x3F00, 7702) in plan(view, settings).objects


def test_a_peer_on_the_other_familys_underlay_is_out_of_reach() -> None:
    view = replace(SMALL, peers=(replace(FIRST, underlay=ip_address("2001:db8::2")),))

    assert plan(view, SETTINGS).objects == plan(replace(SMALL, peers=()), SETTINGS).objects


def test_outer_packets_are_not_routed_by_their_mark() -> None:
    assert OuterRule(4, SETTINGS.port) in plan(SMALL, SETTINGS).objects


def test_a_source_is_not_checked_by_the_mark_of_its_packet() -> None:
    """The rules do not depend on how many nodes and marks there are."""
    for view in (SMALL, SMALL_GATEWAY, replace(SMALL, peers=())):
        objects = plan(view, SETTINGS).objects

        found = {each for each in objects if isinstance(each, Bypass | Landing)}
        assert found == {Bypass(4, SETTINGS.device), Landing(4), Landing(6)}


def test_a_packet_without_a_mark_meets_as_many_rules_as_without_gateways() -> None:
    objects = plan(SMALL, SETTINGS).objects

    assert {Unmarked(4, SETTINGS.mark_mask), Unmarked(6, SETTINGS.mark_mask)} <= objects


def test_a_node_without_an_ipv6_tunnel_address_has_none_on_its_device() -> None:
    view = replace(SMALL, node=replace(WORKER, tunnel6=None))

    addresses = {each for each in plan(view, SETTINGS).objects if isinstance(each, Address)}
    assert addresses == {Address(ip_address("198.18.192.1"))}
