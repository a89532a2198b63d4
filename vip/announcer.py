"""When to announce which address: a sans-I/O state machine, events and time in, what to say out.

An address that is taken is announced in a short train, then slowly for ever; one that is let go is
never announced again. It does not send (`outgate.vip.wire`) and does not know what the time is.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from outgate.api.view import IPAddress
from outgate.vip.model import Holding

TRAIN = (0.0, 0.1, 0.3, 1.1, 2.2)
"""Seconds after taking an address. At once, since until then it is an outage; twice shortly after,
should a frame get lost; then past one second and again, because receivers may ignore an update
within 1 s of their last one (Linux: `locktime`; metallb#172: 1.1 s)."""

REFRESH = 60.0
"""Seconds between announcements after the train: well within the 4 h ARP time-out of routers and
the 5 min ageing of switches (IEEE 802.1D §7.9.2), for those who missed the train."""

RETRY = 1.0
"""Seconds until an announcement that could not be sent is tried again."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """One address's place in the train. since, due: in the caller's clock, seconds."""

    since: float
    mac: str
    step: int
    due: float
    sent: int


@dataclass(frozen=True, slots=True)
class Announcer:
    """What is being announced, and how often it is refreshed (seconds)."""

    refresh: float = REFRESH
    announcements: Mapping[Holding, Announcement] = field(default_factory=dict)

    def holding(self, held: Mapping[Holding, str], *, now: float) -> "Announcer":
        """Takes what is held from now on, with the MAC of each one's link.

        New ones start their train; so do those whose MAC changed, for the LAN has to learn it anew.
        The others go on where they are; what is no longer held is forgotten.
        """
        kept: dict[Holding, Announcement] = {}
        for holding, mac in held.items():
            known = self.announcements.get(holding)
            if known is not None and known.mac == mac:
                kept[holding] = known
            elif known is not None:
                kept[holding] = replace(known, mac=mac, step=0, due=now + TRAIN[0])
            else:
                kept[holding] = Announcement(now, mac, 0, now + TRAIN[0], 0)
        return replace(self, announcements=kept)

    def again(self, addresses: Collection[IPAddress]) -> "Announcer":
        """The addresses' train starts anew: somebody has not heard it."""
        after = {
            holding: replace(known, step=0, due=float("-inf"))
            if holding.address in addresses
            else known
            for holding, known in self.announcements.items()
        }
        return replace(self, announcements=after)

    def due(self, *, now: float) -> tuple[Holding, ...]:
        """The holdings to announce now: first those that the LAN has heard least of."""
        due = ((a.step, h.sort_key, h) for h, a in self.announcements.items() if a.due <= now)
        return tuple(holding for _, _, holding in sorted(due))

    def announced(self, holdings: Iterable[Holding], *, now: float) -> "Announcer":
        """Takes that these were announced now; each one's next turn is set.

        A turn that was missed (a suspended process) is not made up for: the next one counts from
        now, so that a late train keeps its gaps.
        """
        after = dict(self.announcements)
        for holding in holdings:
            known = after[holding]
            step = known.step + 1
            gap = TRAIN[step] - TRAIN[step - 1] if step < len(TRAIN) else self.refresh
            after[holding] = replace(
                known, step=min(step, len(TRAIN)), due=now + gap, sent=known.sent + 1
            )
        return replace(self, announcements=after)

    def postponed(self, holdings: Iterable[Holding], *, now: float) -> "Announcer":
        """Takes that these could not be announced: their turn stays, and comes again soon."""
        after = dict(self.announcements)
        for holding in holdings:
            after[holding] = replace(after[holding], due=now + RETRY)
        return replace(self, announcements=after)

    def next_due(self) -> float | None:
        """When `due` has something to say next; None if nothing is held."""
        return min((a.due for a in self.announcements.values()), default=None)
