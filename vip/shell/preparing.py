"""Planned moves that wait for the flows of their addresses: who is asked, who has answered. Pure.

What is complete first is ready first: an address with few flows does not wait for one with many.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from outgate.api.view import IPAddress
from outgate.vip.engine.evidence import FOREVER

ASK = 0.05
"""Seconds between questions to nodes that have not said hello yet, or whose stream broke."""

Ids = frozenset[int]


class Ready(NamedTuple):
    """Addresses whose flows are here; without those of the missing nodes, whose time is up."""

    gateway: str
    addresses: frozenset[IPAddress]
    missing: frozenset[str]


@dataclass(slots=True)
class _Wanted:
    """waiting: by address, the nodes that have not told all of it."""

    gateway: str
    ids: Mapping[IPAddress, int]
    waiting: dict[IPAddress, set[str]]
    unasked: set[str]
    until: float
    ask: float


class Preparing:
    """`now` is the loop's monotonic clock."""

    def __init__(self) -> None:
        self._wanted: list[_Wanted] = []

    def begin(
        self,
        gateway: str,
        ids: Mapping[IPAddress, int | None],
        nodes: Collection[str],
        *,
        until: float,
        now: float,
    ) -> None:
        """These addresses, with their egress ids, are to come here; the nodes know their flows.

        An address without an id has no flows that anybody could tell of.
        """
        waiting = {a: set[str]() if id_ is None else set(nodes) for a, id_ in ids.items()}
        numbered = {a: id_ for a, id_ in ids.items() if id_ is not None}
        self._wanted.append(_Wanted(gateway, numbered, waiting, set(nodes), until, now))

    def ask(self, knows: Callable[[str], bool], *, now: float) -> Iterator[tuple[str, Ids]]:
        """Which nodes to ask now, and for what: those that have said hello."""
        for wanted in self._wanted:
            if now < wanted.ask:
                continue
            wanted.ask = now + ASK
            for node in sorted(wanted.unasked):
                if knows(node):
                    wanted.unasked.discard(node)
                    yield (
                        node,
                        frozenset(i for a, i in wanted.ids.items() if node in wanted.waiting[a]),
                    )

    def complete(self, node: str, ids: Ids) -> None:
        """The node has told all that it knows of these."""
        for wanted in self._wanted:
            for address, nodes in wanted.waiting.items():
                if wanted.ids.get(address) in ids:
                    nodes.discard(node)

    def lost(self, node: str, *, now: float) -> None:
        """What the node was asked may not have arrived: again, if it has not answered."""
        for wanted in self._wanted:
            if any(node in nodes for nodes in wanted.waiting.values()):
                wanted.unasked.add(node)
                wanted.ask = max(wanted.ask, now + ASK)

    def only(self, known: Iterable[str]) -> None:
        """Others are no nodes of the mesh any more."""
        there = frozenset(known)
        for wanted in self._wanted:
            wanted.unasked &= there
            for nodes in wanted.waiting.values():
                nodes.intersection_update(there)

    def ready(self, *, now: float) -> list[Ready]:
        """What need not wait any more, once."""
        found = []
        for wanted in self._wanted:
            late = now >= wanted.until
            done = [a for a, nodes in wanted.waiting.items() if late or not nodes]
            if done:
                missing = frozenset[str]().union(*(wanted.waiting.pop(a) for a in done))
                found.append(Ready(wanted.gateway, frozenset(done), missing))
        self._wanted = [wanted for wanted in self._wanted if wanted.waiting]
        return found

    def next_due(self) -> float:
        """When to look again although nobody has said anything."""
        asks = (min(one.ask if one.unasked else FOREVER, one.until) for one in self._wanted)
        return min(asks, default=FOREVER)
