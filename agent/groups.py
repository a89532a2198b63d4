"""The gateways that this node is a member of, as their status tells it: pure."""

from collections.abc import Collection, Iterable

from outgate.agent.egress import address_of
from outgate.api.gateway import EgressGateway
from outgate.api.view import GatewayGroup, IPAddress

READY = "Ready"
UNFIT = "Unfit"
"""Why a node is not eligible whose probes fail, as `outgate.controller.eligibility` says it."""


def groups_of(
    gateways: Iterable[EgressGateway], *, node: str, holds: Collection[IPAddress]
) -> tuple[GatewayGroup, ...]:
    """Those of this node, by name.

    holds: what it still has. A node that a gateway's selector no longer takes stays a member, but
    not an eligible one, until others have its addresses: they are handed over, not dropped. Where
    there is nobody to take them, it lets go.
    """
    found: list[GatewayGroup] = []
    for gateway in sorted(gateways, key=lambda one: one.metadata.name):
        status = gateway.status
        addresses = frozenset(
            address for entry in status.addresses if (address := address_of(entry.address))
        )
        members = frozenset(one.name for one in status.node_list)
        # Who still holds something is spoken to until it has been taken over.
        holders = frozenset(one.node for one in status.addresses if one.address and one.node)
        eligible = eligible_of(gateway)
        leaving = bool(eligible) and not addresses.isdisjoint(holds)
        if node in members or leaving:
            found.append(
                GatewayGroup(
                    name=gateway.metadata.name,
                    uid=gateway.metadata.uid,
                    addresses=addresses,
                    members=members | holders | {node},
                    eligible=eligible,
                    failback=gateway.spec.failback,
                )
            )
    return tuple(found)


def eligible_of(gateway: EgressGateway) -> frozenset[str]:
    """The nodes that may hold its addresses.

    Where none is eligible, those that are merely unfit: none of them is better than another, and
    without any, an address that lapses would be gone for as long as a target is.
    """
    listed = gateway.status.node_list
    return frozenset(one.name for one in listed if one.status == READY) or frozenset(
        one.name for one in listed if one.reason == UNFIT
    )
