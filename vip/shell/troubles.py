"""What is wrong with addresses, from when it was seen until it is over. A record, without I/O.

`Conflict`: somebody else speaks for an address that is held here. `Occupied`: somebody answers for
one that this node would take. `ReturnPathFailed`: packets to one that is held here go elsewhere;
`ReturnPathUnknown`: that can't be found out. `Failsafe`: what is held is held without certainty.
The first two are over when nobody was heard for a while: there is no word for an end of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from outgate.api.view import IPAddress
from outgate.vip.protocol import Trouble

CONFLICT, OCCUPIED = "Conflict", "Occupied"
FAILED, UNKNOWN, FAILSAFE = "ReturnPathFailed", "ReturnPathUnknown", "Failsafe"

QUIET = 60.0
"""Seconds without a word of somebody else until a conflict is over. The engine reports one that is
held every 10 s (`defend`), and asks again for one that is wanted within a few."""

RECHECK = 30.0
"""Seconds between checks of ways back that were not found right."""

RECHECKED = 64
"""Addresses in one of them: the segment checks 8 at a time, up to 3 s each."""

NAMED = 8
"""Addresses that a trouble names."""


@dataclass(frozen=True, slots=True)
class _Contest:
    """times: how often it was seen."""

    gateway: str
    what: str
    mac: str
    until: float
    times: int


@dataclass(slots=True)
class _Path:
    """The last verdict on a way back that was not right, and when it was."""

    gateway: str
    what: str
    why: str
    at: float


class Troubles:
    """All that lasts."""

    def __init__(self) -> None:
        self._contests: dict[IPAddress, _Contest] = {}
        self._paths: dict[IPAddress, _Path] = {}
        self._failsafe: Mapping[str, frozenset[IPAddress]] = {}
        self._rechecked = float("-inf")
        self.version = 0
        """Rises with each change."""

    def contest(self, gateway: str, what: str, address: IPAddress, *, mac: str, now: float) -> bool:
        """Somebody else was heard; whether that is news."""
        known = self._contests.get(address)
        times = 1 if known is None else known.times + 1
        self._contests[address] = _Contest(gateway, what, mac, now + QUIET, times)
        news = known is None or known.what != what
        self.version += news or times == 2 or (known is not None and known.mac != mac)
        return news

    def path(
        self, gateway: str, address: IPAddress, what: str, *, why: str = "", now: float
    ) -> bool:
        """The way back was checked, and is like this (`FAILED`, `UNKNOWN`, "": right); whether it
        was different before."""
        known = self._paths.get(address)
        if not what:
            self._paths.pop(address, None)
        elif known is not None and (known.what, known.why) == (what, why):
            known.at = now
            return False
        else:
            self._paths[address] = _Path(gateway, what, why, now)
        self.version += bool(what) or known is not None
        return (known.what if known else "") != what

    def failsafe(self, held: Mapping[str, frozenset[IPAddress]]) -> None:
        """By gateway, what is held without certainty now."""
        if held != self._failsafe:
            self._failsafe = held
            self.version += 1

    def claimed(self, addresses: Iterable[IPAddress]) -> None:
        """This node has found that nobody else answers for them."""
        for address in addresses:
            self.version += self._contests.pop(address, None) is not None

    def lost(self, addresses: Iterable[IPAddress]) -> None:
        """This node holds them no longer: their ways back are not its own any more."""
        for address in addresses:
            self.version += self._paths.pop(address, None) is not None

    def expire(self, *, now: float) -> tuple[IPAddress, ...]:
        """Ends the conflicts of which nothing was heard; those."""
        over = tuple(a for a, contest in self._contests.items() if contest.until <= now)
        for address in over:
            del self._contests[address]
        self.version += bool(over)
        return over

    def recheck(self, *, now: float) -> frozenset[IPAddress]:
        """The addresses whose way back is to be checked anew, now."""
        if not self._paths or now < self._recheck():
            return frozenset()
        self._rechecked = now
        ordered = sorted(self._paths, key=lambda one: (self._paths[one].what, self._paths[one].at))
        return frozenset(ordered[:RECHECKED])

    def next_due(self) -> float:
        """When to ask for `expire` and `recheck` again; infinite if never."""
        ends = (contest.until for contest in self._contests.values())
        first = min(ends, default=float("inf"))
        return min(first, self._recheck()) if self._paths else first

    def _recheck(self) -> float:
        oldest = min(path.at for path in self._paths.values())
        return max(oldest, self._rechecked) + RECHECK

    def now(self) -> tuple[Trouble, ...]:
        """What lasts, by gateway and kind."""
        found: dict[tuple[str, str], dict[IPAddress, str]] = {}
        for address, contest in self._contests.items():
            # One answer may have been a member's that was asking for it in the same moment.
            if contest.what == CONFLICT or contest.times > 1:
                found.setdefault((contest.gateway, contest.what), {})[address] = contest.mac
        for address, path in self._paths.items():
            found.setdefault((path.gateway, path.what), {})[address] = path.why
        for gateway, held in self._failsafe.items():
            found[gateway, FAILSAFE] = dict.fromkeys(held, "")
        return tuple(
            _trouble(gateway, what, details) for (gateway, what), details in sorted(found.items())
        )


def _trouble(gateway: str, what: str, details: Mapping[IPAddress, str]) -> Trouble:
    ordered = sorted(details, key=lambda one: (one.version, int(one)))
    named = tuple(str(address) for address in ordered[:NAMED])
    detail = details[ordered[0]] if ordered else ""
    return Trouble(gateway, what, named, len(ordered), detail)
