"""What is due at the API server for one gateway: reading, the own Lease, deposing the silent.

In peace that is a reading three times in `settle`, and a renewal each `keepalive` for people to
see, however many addresses there are.
"""

from collections.abc import Iterator
from dataclasses import replace

from outgate.api.rendezvous import weight
from outgate.vip.engine import rights
from outgate.vip.engine.actions import Action
from outgate.vip.engine.election import rank
from outgate.vip.engine.events import Record
from outgate.vip.engine.evidence import FOREVER
from outgate.vip.engine.group import Group
from outgate.vip.engine.peers import NEVER

TURN = 0.3
"""Seconds that each next member in line waits to depose a silent one, should the first not."""


EARLY = 0.2
"""The share by which a node, each by its own, is early with what it does now and then: after a
common start, hundreds do not ask in the same moment for long."""


class Leases:
    """Looks after one gateway's Leases."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._relied = NEVER
        own = int.from_bytes(weight(group.gateway, group.node)) / 2**64
        self._pace = 1 - EARLY * own

    def ask(self, *, now: float) -> Iterator[Action]:
        """What is due at the API server: readings, the own Lease, deposing the silent."""
        g, s = self._group, self._group.settings
        doubted = g.silent + g.suspects
        urgent = g.read_now or (doubted and any(g.roster.out(p.node) is None for p in doubted))
        if now >= g.roster.asked + (s.roster_age / 2 if urgent else s.settle / 3 * self._pace):
            read = g.requests.read(now=now, most=s.api_gap if urgent else s.roster_age / 2)
            yield from () if read is None else (read,)
        elif g.read_now:
            read = g.requests.read(now=now, most=s.renew)
            yield from () if read is None else (read,)
        mine = self._own_lease(now)
        if mine is not None:
            write = g.requests.write(mine, now=now, order=g.roster.order)
            if write is not None:
                if not mine.term:
                    g.leased = NEVER  # from now on, others may see that nobody relies on it
                yield write
        if g.inside and g.silent:
            for record in self._deposable(now):
                write = g.requests.write(record, now=now)
                yield from () if write is None else (write,)

    def _own_lease(self, now: float) -> Record | None:
        """The own Lease as it should be written now, if so."""
        g = self._group
        mine = g.roster.records.get(g.node)
        if mine is None:
            if g.roster.asked == NEVER:
                return None
            return Record(g.gateway, g.node, g.highest + 1, g.boot, True, 0.0)
        if not mine.inside:
            return replace(mine, epoch=g.highest + 1, boot=g.boot, inside=True, term=0.0)
        if mine.boot != g.boot:
            return replace(mine, boot=g.boot, term=0.0)
        term = self._term(mine, now)
        if term != mine.term or self._renewal_due(mine, now):
            return replace(mine, epoch=g.highest, term=term)
        return None

    def _term(self, mine: Record, now: float) -> float:
        """What the Lease is relied on for: where acknowledgements are missing, and a bit after."""
        g = self._group
        if g.holds.epochs and g.known.wants_lease(now=now, settings=g.settings):
            self._relied = now
            return g.settings.term
        return mine.term if now < self._relied + g.settings.renew else 0.0

    def _renewal_due(self, mine: Record, now: float) -> bool:
        g, s = self._group, self._group.settings
        if now >= g.renewed + (s.renew if mine.term else s.keepalive * self._pace):
            return True
        if g.holds.epochs and mine.epoch < max(g.holds.epochs.values()):
            return True  # kept where a power failure doesn't reach
        if not g.silent:
            return False
        outs = (g.roster.out(peer.node) for peer in g.silent)
        return any(out is not None and out.learned > g.renewed_order for out in outs)

    def _deposable(self, now: float) -> Iterator[Record]:
        g = self._group
        for one in g.gone(now=now):
            record = g.roster.records.get(one.peer.node)
            if record is None or not record.inside or one.lapsed == FOREVER:
                continue
            line = {g.node, *(peer.node for peer in g.heard)}
            place = rank(g.gateway, one.peer.node, line, node=g.node)
            due = one.lapsed + place * TURN
            if now < due:
                g.wake = min(g.wake, due)
            elif not g.met(one.peer.node, now=now):
                g.wake = min(g.wake, now + g.settings.interval)
            elif rights.may_depose(record, roster=g.roster, settings=g.settings, now=now):
                yield replace(record, epoch=g.highest + 1, inside=False, term=0.0)
