"""Whether packets to an address come to this node: a sans-I/O machine, `CheckReturnPath` in.

An echo request goes to the LAN's router, from the address. It teaches a router nothing: where the
reply goes is what the router has learned from the announcement. A reply that comes settles it. Its
absence says something only if the router answers at all: so it is asked from an address of the
node's own, too. If neither comes, or there is no router, nothing is claimed.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field

from outgate.api.view import IPAddress
from outgate.vip.engine.events import ReturnPathChecked
from outgate.vip.segment.settings import SegmentSettings

NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask on a link.

    router: whose MAC the frames go to. asked: who is to answer: the router, or what the operator
    chose behind it. own: an address of the node on that link, if it has one; without, silence is
    taken for proof.
    """

    interface: str
    router: IPAddress
    asked: IPAddress
    own: IPAddress | None


@dataclass(frozen=True, slots=True)
class Echo:
    """An echo request to send. sequence: 16 bits."""

    source: IPAddress
    target: Target
    sequence: int


@dataclass(frozen=True, slots=True)
class ReturnPathUnknown:
    """That the way back could not be checked, and why, in words."""

    address: IPAddress
    why: str


Verdict = ReturnPathChecked | ReturnPathUnknown


@dataclass(slots=True)
class _Check:
    target: Target
    sequence: int
    began: float
    tries: int = 0
    sent: int = 0
    due: float = 0.0
    came: bool = False


@dataclass(slots=True)
class _Control:
    """The question from the node's own address: when it was last asked, and last answered."""

    asked: float = NEVER
    answered: float = NEVER


@dataclass(slots=True)
class ReturnPaths:
    """The checks that wait, and those that run. One for a process."""

    settings: SegmentSettings
    _waiting: dict[IPAddress, Target | None] = field(default_factory=dict)
    _running: dict[IPAddress, _Check] = field(default_factory=dict)
    _controls: dict[Target, _Control] = field(default_factory=dict)
    _sequence: int = 0

    def check(self, targets: Mapping[IPAddress, Target | None]) -> None:
        """Begins to check these, in turn; None: no router is known. A new check replaces one."""
        for address, target in targets.items():
            self._running.pop(address, None)
            self._waiting[address] = target

    def retain(self, held: Container[IPAddress]) -> None:
        """Forgets the checks of all other addresses: they are not this node's to speak from."""
        self._waiting = {a: target for a, target in self._waiting.items() if a in held}
        self._running = {a: check for a, check in self._running.items() if a in held}

    def due(self, *, now: float) -> tuple[Echo, ...]:
        """What to send now. Say of each whether it was: `sent`."""
        self._admit(now)
        return tuple(self._echoes(now))

    def sent(self, echo: Echo) -> None:
        """Takes that the link took this one."""
        check = self._running.get(echo.source)
        if check is not None and check.sequence == echo.sequence:
            check.sent += 1

    def hear(self, *, destination: IPAddress, source: IPAddress, sequence: int, now: float) -> None:
        """Takes an echo reply that came to this node's MAC."""
        check = self._running.get(destination)
        if check is not None:
            check.came |= (check.sequence, check.target.asked) == (sequence, source)
            return
        for target, control in self._controls.items():
            if (target.own, target.asked) == (destination, source):
                control.answered = now

    def verdicts(self, *, now: float) -> tuple[Verdict, ...]:
        """What is known now, once each. Ask after all that came has been heard."""
        found: list[Verdict] = [
            ReturnPathUnknown(address, "no router is known")
            for address, target in self._waiting.items()
            if target is None
        ]
        for address, check in self._running.items():
            if check.came:
                found.append(ReturnPathChecked(address, came=True))
            elif check.tries >= self.settings.return_tries and check.due <= now:
                found.append(self._silent(address, check))
        for verdict in found:
            self._waiting.pop(verdict.address, None)
            self._running.pop(verdict.address, None)
        if not self._running and not self._waiting:
            self._controls.clear()
        return tuple(found)

    def interfaces(self) -> frozenset[str]:
        """The links on which replies are awaited."""
        return frozenset(check.target.interface for check in self._running.values())

    def next_due(self) -> float | None:
        """When there is something to send or to say; None if no check is waiting or running."""
        if self._waiting and len(self._running) < self.settings.return_at_once:
            return NEVER
        if any(check.came for check in self._running.values()):
            return NEVER
        return min((check.due for check in self._running.values()), default=None)

    def _admit(self, now: float) -> None:
        for address, target in list(self._waiting.items()):
            if len(self._running) >= self.settings.return_at_once:
                return
            if target is not None:
                del self._waiting[address]
                self._sequence = (self._sequence + 1) & 0xFFFF
                self._running[address] = _Check(target, self._sequence, began=now, due=now)

    def _echoes(self, now: float) -> Iterator[Echo]:
        for address, check in self._running.items():
            if check.due > now or check.came or check.tries >= self.settings.return_tries:
                continue
            check.tries += 1
            check.due = now + self.settings.return_wait
            yield Echo(address, check.target, check.sequence)
            own = check.target.own
            control = self._controls.setdefault(check.target, _Control())
            if own is not None and control.asked + self.settings.return_wait / 2 <= now:
                control.asked = now
                yield Echo(own, check.target, 0)

    def _silent(self, address: IPAddress, check: _Check) -> Verdict:
        if not check.sent:
            return ReturnPathUnknown(address, "the router's MAC is not known")
        answered = self._controls[check.target].answered
        since = check.began - self.settings.return_wait  # it is asked for several addresses at once
        if check.target.own is not None and answered < since:
            return ReturnPathUnknown(address, "the router answers no echo requests")
        return ReturnPathChecked(address, came=False)
