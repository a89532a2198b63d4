"""A planned restart: all who could take over hear of a longer lease, then the process may end."""

from collections.abc import Iterator, Sequence

from outgate.vip.engine.actions import Action, ReadyToRestart, Refresh
from outgate.vip.engine.group import Group
from outgate.vip.engine.settings import Settings


class Restart:
    """One planned restart, from when it was asked for. counter: of the heartbeat that tells it."""

    def __init__(
        self, groups: Sequence[Group], *, now: float, counter: int, settings: Settings
    ) -> None:
        self._began, self._counter, self._settings = now, counter, settings
        self._ready = False
        for group in groups:
            group.holds.announced = settings.restart
            group.holds.adopting = False  # what an earlier restart has left is not shortened now

    def step(self, groups: Sequence[Group], *, now: float) -> Iterator[Action]:
        """Ready when all have answered; after a while without that, but for no longer than ever."""
        held = [group for group in groups if group.holds.epochs]
        if self._ready:
            return
        if not any(group.waits_for(self._counter, now=now) for group in held):
            self._ready = True
            until = self._began + self._settings.restart
            for group in held:
                until = min(until, group.long_until(self._began))
            for group in held:
                group.holds.until = until
                yield Refresh(group.gateway, frozenset(group.holds.epochs), until)
            yield ReadyToRestart(until)
        elif now >= self._began + self._settings.api_patience:
            self._ready = True
            yield ReadyToRestart(now)
