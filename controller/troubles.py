"""What nodes see to be wrong with a gateway's addresses, as its conditions. Pure.

Each is true as long as nobody says otherwise: a conflict, a way back that fails, and addresses that
are held without certainty are what people have to know of.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from outgate.api.tunnel import AddressTrouble, EgressTunnel
from outgate.controller.status import NAMED, Finding, some

UNIQUE, RETURNS, COORDINATED = "AddressesUnique", "ReturnPathWorks", "Coordinated"
TYPES = (UNIQUE, RETURNS, COORDINATED)
"""Of the conditions."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A trouble, and the node that sees it."""

    node: str
    trouble: AddressTrouble


def troubles_of(
    tunnels: Iterable[EgressTunnel], *, reporting: Collection[str]
) -> Mapping[str, tuple[Seen, ...]]:
    """By gateway: what the nodes in `reporting` say, by node."""
    found: dict[str, list[Seen]] = {}
    for tunnel in sorted(tunnels, key=lambda tunnel: tunnel.metadata.name):
        if tunnel.metadata.name in reporting:
            for trouble in tunnel.status.troubles:
                found.setdefault(trouble.gateway, []).append(Seen(tunnel.metadata.name, trouble))
    return {gateway: tuple(seen) for gateway, seen in found.items()}


def findings(seen: Iterable[Seen]) -> Iterator[Finding]:
    """The conditions of one gateway."""
    by_reason: dict[str, list[Seen]] = {}
    for one in seen:
        by_reason.setdefault(one.trouble.reason, []).append(one)

    def said(reason: str, words: str) -> list[str]:
        return [
            words.format(what=_what(one.trouble), node=one.node, detail=one.trouble.message)
            for one in by_reason.get(reason, ())
        ]

    contested = said("Conflict", "{detail} answers for {what} too, which {node} holds")
    contested += said("Occupied", "{detail} answers for {what}, so {node} does not take it")
    if contested:
        yield Finding(UNIQUE, False, "AddressConflict", some(contested))
    else:
        yield Finding(UNIQUE, True, "NoConflict")
    failed = said("ReturnPathFailed", "packets to {what} do not come to {node}, which holds it")
    unknown = said("ReturnPathUnknown", "of {what} on {node} it is not known: {detail}")
    if failed:
        yield Finding(RETURNS, False, "ReturnPathFailed", some(failed))
    elif unknown:
        yield Finding(RETURNS, None, "ReturnPathUnknown", some(unknown))
    else:
        yield Finding(RETURNS, True, "NoneFailed")
    alone = said("Failsafe", "{node} holds {what} without word of the API server or all members")
    if alone:
        yield Finding(COORDINATED, False, "Failsafe", some(alone))
    else:
        yield Finding(COORDINATED, True, "Coordinated")


def _what(trouble: AddressTrouble) -> str:
    named = trouble.addresses[:NAMED]
    more = trouble.count - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")
