"""What the segment answers: verdicts of probes, conflicts, the way back."""

from collections.abc import Iterator, Mapping

from outgate.api.view import IPAddress
from outgate.vip.engine.actions import Action, Announce, Probe, Report
from outgate.vip.engine.group import Group
from outgate.vip.engine.taking import Taking
from outgate.vip.engine.words import Say


class Segment:
    """Numbers the probes and knows whose they are; a guard is one for what is held in failsafe."""

    def __init__(self, groups: Mapping[str, Group], takings: Mapping[str, Taking]) -> None:
        self._groups, self._takings = groups, takings
        self._number = 0
        self._asked: dict[int, str] = {}
        self._guards: set[int] = set()

    def proceed(self, gateway: str, *, now: float) -> Iterator[Action]:
        """Goes on with what is wanted; a probe gets the next number."""
        taking = self._takings[gateway]
        yield from taking.proceed(now=now, probe=self._number + 1)
        if taking.awaits(self._number + 1):
            self._number += 1
            self._asked[self._number] = gateway

    def guard(self, group: Group, *, now: float) -> Iterator[Probe]:
        """Asks whether nobody else answers for what is doubtful, if that is due."""
        probe = group.holds.guard(self._number + 1, now=now)
        if probe is not None:
            self._number += 1
            self._asked[self._number] = group.gateway
            self._guards.add(self._number)
            yield probe

    def probed(
        self, number: int, answered: Mapping[IPAddress, str], *, now: float
    ) -> Iterator[Action]:
        """Takes a probe's verdict."""
        group = self._groups.get(self._asked.pop(number, ""))
        guard = number in self._guards
        self._guards.discard(number)
        if group is None:
            return
        if not guard:
            yield from self._takings[group.gateway].probed(number, answered, now=now)
        elif group.holds.contested(bool(answered), patient=group.patient):
            for address in sorted(answered, key=lambda a: (a.version, int(a))):
                yield Report(group.gateway, "Conflict", address, answered[address])
            doubtful = group.holds.doubtful()
            for address in doubtful:
                self._takings[group.gateway].avoid(address, now=now)
            yield from group.holds.release(doubtful, why="answered elsewhere")

    def conflict(self, address: IPAddress, mac: str, *, now: float) -> Iterator[Action]:
        """Somebody else has spoken for an address. What is doubtful, the next guard decides."""
        for gateway, group in self._groups.items():
            if address not in group.holds.epochs:
                self._takings[gateway].spoken_for(address, now=now)
            elif address not in group.holds.doubtful():
                yield from self._takings[gateway].defend(address, mac, now=now)

    def healed(self, group: Group, *, known: int, away: float) -> Iterator[Announce]:
        """Says anew where our addresses are, for a member is back that may have had them, too.

        known: the epoch up to which it knew of claims. away: seconds; soon it may have taken
        anything. Until it hears of us it answers for what it had, and whoever asks in that moment
        goes by that: Linux believes no other answer for a second (`locktime`), but an announcement
        at once.
        """
        long = away >= group.settings.api_patience
        ours = frozenset(a for a, epoch in group.holds.epochs.items() if long or epoch > known)
        if ours:
            yield Announce(ours)

    def left(self, group: Group, *, before: Say, say: Say) -> Iterator[Announce]:
        """Says anew where those of our addresses are that a member has claimed, and now does not.

        It may have answered for one even since it was heard again, and `healed` came too early.
        """
        claimed = frozenset[IPAddress]().union(*(claim.addresses for claim in before.claims))
        left = claimed.difference(*(claim.addresses for claim in say.claims))
        ours = left.intersection(group.holds.epochs)
        if ours:
            yield Announce(ours)

    def returned(self, address: IPAddress, *, came: bool) -> Iterator[Action]:
        """Whether packets to an address that was taken come here; if not, it is said again."""
        for gateway, group in self._groups.items():
            if address in group.holds.epochs:
                yield Report(gateway, "ReturnPathWorks" if came else "ReturnPathFailed", address)
                if not came:
                    yield Announce(frozenset({address}))
