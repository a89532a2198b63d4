"""Whether what a member may hold can be taken: consent of those who live, proof for the silent.

Nothing here decides who takes; only whether taking is safe at this moment. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from outgate.vip.engine.events import Record
from outgate.vip.engine.evidence import FOREVER
from outgate.vip.engine.peers import NEVER, SILENT, Peer, Peers
from outgate.vip.engine.roster import Roster
from outgate.vip.engine.settings import Settings


@dataclass(frozen=True, slots=True)
class Gone:
    """A silent member: from when on its kernel answers no more, whatever it still does.

    lapsed: `FOREVER` while somebody who is heard may still acknowledge it.
    """

    peer: Peer
    lapsed: float


def gone(
    silent: Sequence[Peer],
    heard: Sequence[Peer],
    *,
    gateway: str,
    peers: Peers,
    settings: Settings,
    now: float,
) -> tuple[Gone, ...]:
    """For each silent member, when its addresses have lapsed."""
    found = []
    for peer in silent:
        contact = _contact(peer, heard, since=peers.started, settings=settings, now=now)
        lease = _lease(peer, silent, gateway=gateway, settings=settings)
        found.append(Gone(peer, contact + settings.outlast(lease)))
    return tuple(found)


def _contact(
    peer: Peer, heard: Sequence[Peer], *, since: float, settings: Settings, now: float
) -> float:
    """When the last of all that are heard has heard the peer; `FOREVER` if one may yet."""
    contact = max(peer.heard, since)
    for other in heard:
        word = other.word
        said = None if word is None else word.peers.get(peer.node)
        if said is None:
            continue  # does not know it, so has not acknowledged it
        if (
            said.hearing not in SILENT
            or said.age < settings.silence
            or not fresh(other, settings=settings, now=now)
        ):
            return FOREVER
        # What we have heard ourselves was sent before we heard it, whoever acknowledges it when.
        if (said.boot, said.counter) > (peer.boot, peer.counter):
            contact = max(contact, other.heard - said.age / settings.skew)
    return contact


def _lease(peer: Peer, silent: Sequence[Peer], *, gateway: str, settings: Settings) -> float:
    """How long the peer may go on after that: it may be hearing another silent one."""
    word = peer.word
    if word is None:
        return settings.isolation
    say = word.says.get(gateway)
    ignores = say.out if say is not None else frozenset()
    paired = any(other is not peer and other.node not in ignores for other in silent)
    return max(word.lease, settings.isolation) if paired else word.lease


def fresh(peer: Peer, *, settings: Settings, now: float) -> bool:
    """Whether the peer's last word was said after we said something, not long ago."""
    return peer.echoed >= now - settings.freshness


def may_depose(record: Record, *, roster: Roster, settings: Settings, now: float) -> bool:
    """Whether the term of the Lease, as it was read, has passed for any clock."""
    if now < roster.asked or roster.asked < now - settings.roster_age or not record.inside:
        return False
    if not record.term:
        return True
    seen = roster.seen(record.node)
    return seen > NEVER and now >= seen + settings.outlast(record.term)


def deposed(node: str, *, roster: Roster, renewed: int, settings: Settings, now: float) -> bool:
    """Whether the member is out for sure, and this node was still in after that was known.

    Two nodes may depose each other at the same time; of the two, at most one renews its own Lease
    after it has learned that the other is out. renewed: `Roster.order` when the renewal was sent.
    """
    out = roster.out(node)
    return out is not None and out.known >= now - settings.roster_age and renewed >= out.learned
