"""What the vip process is told: the node's view, as far as it is about virtual IPs. Pure."""

from collections.abc import Collection, Iterable
from ipaddress import ip_address

from outgate.agent.holders import Claims
from outgate.api.hold import Hold
from outgate.api.view import IPAddress, NodeView
from outgate.rules.plan import is_candidate, mesh_peers
from outgate.vip.protocol import Claimed, Group, Report, Word


def word_of(
    view: NodeView,
    *,
    interface: str,
    only: Collection[IPAddress] | None = None,
) -> Word:
    """The word, without its number, and without what hinders this node: `VipClient` adds both.

    only: of the addresses, those that the rules still serve; None for all.
    """
    nodes = (view.node, *mesh_peers(view))
    return Word(
        seq=0,
        node=view.node.name,
        interface=interface,
        nodes={node.name: str(node.underlay) for node in nodes},
        groups=tuple(
            Group(
                gateway=group.name,
                uid=group.uid,
                addresses=_texts(
                    group.addresses if only is None else group.addresses.intersection(only)
                ),
                members=tuple(sorted(group.members)),
                eligible=tuple(sorted(group.eligible)),
                failback=group.failback,
            )
            for group in view.groups
        ),
        ids={str(address): id_ for address, id_ in view.ids.items()},
        indexes={node.name: node.index for node in nodes},
        standby=is_candidate(view.node),
    )


def claims_of(report: Report) -> Claims:
    """What the vip process' report says of who holds what."""
    return Claims(
        own={address: one.epoch for one in report.claims for address in _addresses(one)},
        heard={
            address: Hold(one.epoch, one.node)
            for one in report.heard
            for address in _addresses(one)
        },
    )


def _addresses(claimed: Claimed) -> Iterable[IPAddress]:
    return map(ip_address, claimed.addresses)


def _texts(addresses: Iterable[IPAddress]) -> tuple[str, ...]:
    return tuple(str(one) for one in sorted(addresses, key=lambda one: (one.version, int(one))))
