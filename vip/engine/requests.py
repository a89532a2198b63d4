"""Requests to the API server that are under way, and whether it answers at all."""

from dataclasses import dataclass

from outgate.vip.engine.actions import Action, ReadLeases, WriteLease
from outgate.vip.engine.events import Record
from outgate.vip.engine.peers import NEVER
from outgate.vip.engine.settings import Settings

FORGOTTEN = 60.0
"""Seconds after which a request that was never answered is forgotten."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request: when it was sent, and the Lease that it would write (None: it reads).

    order: `Roster.order` at that time.
    """

    sent: float
    record: Record | None
    order: int


class Requests:
    """At most one reading at a time, and one write of each Lease, as long as they are answered."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pending: dict[int, Request] = {}
        self._next = 1
        self._answered = NEVER
        self._failed = NEVER
        self._last_read = NEVER
        self._not_before: dict[tuple[str, str], float] = {}

    def sees(self, now: float) -> bool:
        """Whether the API server answers."""
        return self._answered > NEVER and not self.away(now)

    def away(self, now: float) -> bool:
        """Whether it does not: the last answer was a failure, or one is overdue."""
        if self._failed > self._answered:
            return True
        patience = self._settings.api_patience
        return any(self._answered < one.sent <= now - patience for one in self._pending.values())

    def read(self, *, now: float, most: float) -> Action | None:
        """Asks for the Leases, unless asked within `most` seconds, or an answer is awaited."""
        wait = max(most, self._settings.api_gap)
        if now < self._last_read + wait or self._awaited(None, now):
            return None
        self._last_read = now
        return ReadLeases(self._add(Request(now, None, 0), now))

    def write(self, record: Record, *, now: float, order: int = 0) -> Action | None:
        """Writes the Lease, unless that is under way, or has just failed."""
        key = (record.gateway, record.node)
        if now < self._not_before.get(key, NEVER) or self._awaited(key, now):
            return None
        return WriteLease(self._add(Request(now, record, order), now), record)

    def answered(self, request: int) -> Request | None:
        """The request that was answered; None if it is not known."""
        found = self._pending.pop(request, None)
        if found is not None:
            self._answered = max(self._answered, found.sent)
        return found

    def refused(self, request: int, *, now: float) -> Request | None:
        """The write that was refused: the server is there, the Lease is not what we thought."""
        found = self.answered(request)
        self._pause(found, now)
        return found

    def failed(self, request: int, *, now: float) -> None:
        """The request failed."""
        found = self._pending.pop(request, None)
        if found is not None:
            self._failed = max(self._failed, found.sent)
            self._pause(found, now)

    def read_again(self) -> None:
        """The next reading need not wait: there is a gateway that the last one was not for."""
        self._last_read = NEVER

    def _pause(self, request: Request | None, now: float) -> None:
        if request is not None and request.record is not None:
            key = (request.record.gateway, request.record.node)
            self._not_before[key] = now + self._settings.api_gap

    def _awaited(self, key: tuple[str, str] | None, now: float) -> bool:
        since = now - self._settings.api_patience
        return any(
            one.sent > since
            and (None if one.record is None else (one.record.gateway, one.record.node)) == key
            for one in self._pending.values()
        )

    def _add(self, request: Request, now: float) -> int:
        number = self._next
        self._next += 1
        self._pending[number] = request
        if len(self._pending) > 8:
            self._pending = {
                n: one for n, one in self._pending.items() if one.sent > now - FORGOTTEN
            }
        return number
