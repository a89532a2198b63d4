"""How long this node may hold: from what others acknowledged and from its Lease. Pure.

Two times bound a hold by acknowledgements, because there are two ways to be taken over:

- Those who hear each other agree that this node alone is silent. All of them have called it so,
  and acknowledge nothing any more; so while *one* member acknowledges, nobody can be that far.
  They wait for the kernel lease (`lease`) from the last time that any of them heard it.
- Somebody hears neither this node nor another one; that other may be acknowledging. Who takes over
  then waits for `isolation` from the last time that he himself heard each of them. So a node holds
  for that long after the *last* of the members was heard to acknowledge it.

A renewed Lease stands against both: whoever wants to depose its node waits for its term.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from outgate.vip.engine.peers import NEVER, Peer, Peers
from outgate.vip.engine.roster import Roster
from outgate.vip.engine.settings import Settings

FOREVER = float("inf")

SPARSE = 1.4
"""Intervals after which an acknowledgement is missed: the Lease is asked while D still runs."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What this node knows in favour of holding one gateway's addresses.

    newest, oldest: sending times of what the quickest and the slowest member that is in has
    acknowledged; `FOREVER` if there are none. out_known: when the rest was last known to be out.
    leased: until when the own Lease stands against being deposed.
    """

    newest: float
    oldest: float
    out_known: float
    leased: float

    def acknowledged(self, *, settings: Settings) -> float:
        """Until when the acknowledgements alone allow holding."""
        return min(
            self.newest + settings.lease,
            self.oldest + settings.isolation,
            self.out_known + settings.settle,
        )

    def until(self, *, settings: Settings) -> float:
        """Until when nobody can have the right to take what this node holds."""
        return max(self.acknowledged(settings=settings), self.leased)

    def wants_lease(self, *, now: float, settings: Settings) -> bool:
        """Whether acknowledgements come too sparsely to go without the Lease."""
        return (
            self.newest + SPARSE * settings.interval <= now
            or self.oldest + settings.isolation / 2 <= now
            or self.out_known + settings.settle * 0.8 <= now
        )


def gather(others: Iterable[Peer], *, gateway: str, roster: Roster, leased: float) -> Evidence:
    """What is known at this moment."""
    newest, oldest, out_known, some = NEVER, FOREVER, FOREVER, False
    for peer in others:
        out = roster.out(peer.node)
        if out is not None:
            out_known = min(out_known, out.known)
            continue
        some = True
        granted = peer.granted if _joined(peer, gateway) else NEVER
        newest, oldest = max(newest, granted), min(oldest, granted)
    return Evidence(newest if some else FOREVER, oldest, out_known, leased)


def unopposed(others: Iterable[Peer], *, peers: Peers, settings: Settings, now: float) -> float:
    """Until when `partition: Availability` holds on without certainty.

    While some member acknowledges, as long as that is good for. Alone, as long as this process
    lives, if no member that was heard of late has called this node silent: such a one may be
    taking over, and must find nobody.
    """
    newest, opposed = NEVER, False
    for peer in others:
        newest = max(newest, peer.granted)
        if peer.objects and peers.speaks(peer, now=now):
            opposed = True
    if newest + settings.lease > now + settings.lease / 4:
        return newest + settings.lease
    return NEVER if opposed else now + settings.lease


def _joined(peer: Peer, gateway: str) -> bool:
    if peer.word is None:
        return False
    say = peer.word.says.get(gateway)
    return say is not None and say.joined
