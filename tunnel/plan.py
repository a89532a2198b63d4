"""The mesh of one node, from its view of the cluster.

A gateway node is reached by its mark: one ip rule, one table with one default route, whatever the
number of pods and policies. Replies have one rule and one table for all nodes: their next hop is a
placeholder, which `outgate.rules` turns into the right node's MAC.
"""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

from outgate.api.view import DataPathSettings, IPAddress, MeshNode, NodeView
from outgate.tunnel.model import (
    Address,
    Bypass,
    Family,
    FdbEntry,
    Landing,
    Link,
    Mesh,
    Neighbour,
    Object,
    OuterRule,
    Route,
    Rule,
    Unmarked,
)

_FAMILIES: tuple[Family, ...] = (4, 6)

PLACEHOLDER_MAC = "02:00:00:00:00:00"
"""The MAC of the replies' next hop; no node has it."""


def plan(view: NodeView, settings: DataPathSettings) -> Mesh:
    """What this node's device, tables and ip rules have to be; equal inputs give equal meshes."""
    node = view.node
    link = Link(
        name=settings.device,
        vni=settings.vni,
        port=settings.port,
        local=node.underlay,
        mac=node.mac,
        mtu=settings.mtu,
        group=settings.group,
    )
    objects: set[Object] = {Address(address) for address in tunnel_addresses(node)}
    objects.add(OuterRule(_family(node.underlay), settings.port))
    # IPv4 only: IPv6 has neither reverse-path filters of its own nor `src_valid_mark`.
    objects.add(Bypass(4, settings.device))
    for family in _FAMILIES:
        objects.update((Landing(family), Unmarked(family, settings.mark_mask)))
    for peer in view.peers:
        if peer.name == node.name or peer.underlay.version != node.underlay.version:
            continue  # an IPv4 device can't reach an IPv6 underlay, nor the reverse
        if peer.mark:
            objects.update(_gateway(peer, settings))
        if node.mark or peer.mark:
            objects.add(FdbEntry(peer.mac, peer.underlay))
    if settings.reply_route and node.mark:
        objects.update(_replies(settings))
    return Mesh(link, frozenset(objects))


def tunnel_addresses(node: MeshNode) -> tuple[IPAddress, ...]:
    """The node's addresses in the mesh: IPv4, IPv6, or both."""
    return tuple(address for address in (node.tunnel4, node.tunnel6) if address is not None)


def placeholder(subnet: IPv4Network | IPv6Network) -> IPAddress:
    """The replies' next hop: the last address of the subnet that a host could have."""
    # IPv6 has no broadcast address, but one rule for both is easier to remember.
    return subnet[-2]


def _gateway(peer: MeshNode, settings: DataPathSettings) -> Iterator[Object]:
    for address in tunnel_addresses(peer):
        yield Neighbour(address, peer.mac)
        yield from _by_mark(peer.mark, address, settings)


def _replies(settings: DataPathSettings) -> Iterator[Object]:
    for subnet in (settings.tunnel_subnet4, settings.tunnel_subnet6):
        if subnet is not None:
            address = placeholder(subnet)
            yield Neighbour(address, PLACEHOLDER_MAC)
            yield from _by_mark(settings.reply_mark, address, settings)


def _by_mark(mark: int, gateway: IPAddress, settings: DataPathSettings) -> Iterator[Object]:
    table = settings.table_base + _ordinal(mark, settings.mark_mask)
    yield Route(table, gateway)
    yield Rule(_family(gateway), mark, settings.mark_mask, table)


def _family(address: IPAddress) -> Family:
    return 4 if address.version == 4 else 6


def _ordinal(mark: int, mask: int) -> int:
    """The mark's number, wherever the mask is: 1 is the lowest bit of the mask."""
    lowest_bit = mask & -mask
    return mark // lowest_bit
