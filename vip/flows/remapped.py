"""Flows whose port source NAT had to change at a gateway node: pure.

Two pods may use the same port towards the same destination; only one of them can keep it behind the
shared address. These few can't be derived from what the source nodes know, so the members of a
gateway tell each other of them while they live (`Changes`), and a new holder looks them up here.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import msgspec

from outgate.vip.flows.entries import LOCAL, Seen
from outgate.vip.flows.records import FlowKey, FlowRecord

LIMIT = 200_000
"""Flows that are kept for one member. An address has 64,512 ports towards one destination; whoever
tells of more than three times as many is not believed to be well."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What is remapped at a node since it last said so.

    fresh: forget what it said before. gone: flows that have ended.
    """

    added: tuple[FlowRecord, ...] = ()
    gone: tuple[FlowRecord, ...] = ()
    fresh: bool = False

    def __bool__(self) -> bool:
        return bool(self.added or self.gone or self.fresh)


def remapped(seen: Seen) -> FlowRecord | None:
    """The record of an entry at a gateway node if it came by the tunnel and its port was changed.

    The flows of the node's own pods are not told: they end with the node.
    """
    if seen.port == seen.from_ or seen.mark & LOCAL or not seen.mark >> 16:
        return None
    return FlowRecord(
        protocol=seen.protocol,
        egress_id=seen.mark >> 16,
        index=seen.mark & 0xFFFF,
        pod=seen.source,
        destination=seen.destination,
        from_=seen.from_,
        to=seen.to,
        port=seen.port,
        assured=seen.assured,
    )


class Own:
    """What is remapped at this node."""

    def __init__(self) -> None:
        self._known: dict[FlowKey, FlowRecord] = {}
        self._listing: dict[FlowKey, FlowRecord] | None = None

    def began(self, record: FlowRecord) -> bool:
        """The kernel says that it is there; whether that is news."""
        if self._listing is not None:
            self._listing[record.key] = record
        if self._known.get(record.key) == record:
            return False
        self._known[record.key] = record
        return True

    def ended(self, record: FlowRecord) -> bool:
        """The kernel says that it is gone; whether that is news."""
        if self._listing is not None:
            self._listing.pop(record.key, None)
        return self._known.pop(record.key, None) is not None

    def list(self) -> None:
        """From here to `listed`, all that there are are said to have begun."""
        self._listing = {}

    def listed(self) -> tuple[FlowRecord, ...]:
        """Those that had ended without a word."""
        found, self._listing = self._listing or {}, None
        gone = [record for key, record in self._known.items() if key not in found]
        for record in gone:
            del self._known[record.key]
        return tuple(gone)

    def __iter__(self) -> Iterator[FlowRecord]:
        """All of them, for a member that knows none yet."""
        return iter(tuple(self._known.values()))

    def __len__(self) -> int:
        return len(self._known)


class Others:
    """What the other members have said is remapped at them."""

    def __init__(self) -> None:
        self._known: dict[str, dict[FlowKey, FlowRecord]] = {}
        self.ignored = 0
        """Flows over the limit."""

    @property
    def nodes(self) -> frozenset[str]:
        """Whose word is kept."""
        return frozenset(self._known)

    def hear(self, node: str, changes: Changes) -> None:
        """What a member says."""
        known = self._known.setdefault(node, {})
        if changes.fresh:
            known.clear()
        for record in changes.gone:
            known.pop(record.key, None)
        for record in changes.added:
            if len(known) >= LIMIT and record.key not in known:
                self.ignored += 1
            else:
                known[record.key] = record

    def forget(self, node: str) -> None:
        """A node that is no longer a member; not one that has died: its flows are wanted now."""
        self._known.pop(node, None)

    def under(self, egress_ids: Collection[int], *, holder: str = "") -> Iterator[FlowRecord]:
        """All that are known under these ids. holder: as of `amended`."""
        found: dict[FlowKey, FlowRecord] = {}
        for known in self._ordered(holder):
            found |= {key: one for key, one in known.items() if one.egress_id in egress_ids}
        yield from found.values()

    def amended(self, records: Iterable[FlowRecord], *, holder: str = "") -> Iterator[FlowRecord]:
        """The records with the ports that the last holder gave them; those that were changed first.

        First, because the port that one of them would have kept is another's. holder: the last
        one, if known: older holders' words count only where it has said nothing.
        """
        words = self._ordered(holder)
        later = []
        for record in records:
            said = [one.port for known in words if (one := known.get(record.key)) is not None]
            port = said[-1] if said else record.port
            if port != record.port:
                yield msgspec.structs.replace(record, port=port)
            elif record.remapped:
                yield record
            else:
                later.append(record)
        yield from later

    def _ordered(self, holder: str) -> list[dict[FlowKey, FlowRecord]]:
        """The last word is the one that counts."""
        names = sorted(self._known, key=lambda node: (node == holder, node))
        return [self._known[node] for node in names if self._known[node]]
