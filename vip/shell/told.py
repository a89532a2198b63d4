"""Which holder has been told of which flows of this node's pods. Pure.

A holder is told as soon as an address is on its way to it, and again when it has come: of what has
begun meanwhile. Otherwise such a flow would break if its pod says nothing first.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from outgate.vip.engine.evidence import FOREVER

AGAIN = 10.0
"""Seconds after which a holder is told of all flows again; until then, of new ones only."""

RETRY = 0.5
"""Seconds until what did not arrive is told again, for as long as `AGAIN`."""


@dataclass(slots=True)
class _Told:
    holder: str
    since: float
    flows: set[int] = field(default_factory=set)


class Told:
    """By egress id. `now` is the loop's monotonic clock."""

    def __init__(self) -> None:
        self._told: dict[int, _Told] = {}
        self._retry: dict[str, float] = {}

    def known(
        self, holder: str, ids: Iterable[int], *, now: float, anew: bool = False
    ) -> dict[int, set[int]]:
        """What the holder has been told of these ids, to be added to.

        Nothing if the last one to be told was another node: this one may have forgotten since.
        anew: it has asked for everything.
        """
        found: dict[int, set[int]] = {}
        for id_ in ids:
            one = self._told.get(id_)
            if anew or one is None or one.holder != holder or now >= one.since + AGAIN:
                one = self._told[id_] = _Told(holder, now)
            found[id_] = one.flows
        return found

    def lost(self, holder: str, *, now: float) -> None:
        """Nobody knows what of it has arrived."""
        if any(one.holder == holder for one in self._told.values()):
            self._retry[holder] = now + RETRY

    def again(self, *, now: float) -> list[tuple[str, frozenset[int]]]:
        """Whom to tell everything again, and of which ids. Forgets what is old."""
        self._told = {id_: one for id_, one in self._told.items() if now < one.since + AGAIN}
        due = [holder for holder, when in self._retry.items() if now >= when]
        found = []
        for holder in due:
            del self._retry[holder]
            ids = frozenset(id_ for id_, one in self._told.items() if one.holder == holder)
            for id_ in ids:
                self._told[id_].flows = set()
            if ids:
                found.append((holder, ids))
        return found

    def next_due(self) -> float:
        """When `again` has something to do."""
        ends = (one.since + AGAIN for one in self._told.values())
        return min((*self._retry.values(), *ends), default=FOREVER)
