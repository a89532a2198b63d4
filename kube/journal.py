"""What happened in the fake API server, in order: for its watches and for stores that follow it."""

import copy
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from outgate.api.kinds import Kind
from outgate.api.meta import Wire
from outgate.kube import wire
from outgate.kube.wire import WatchEvent

Json = dict[str, Any]
Selects = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Change:
    """One write: the object before and after it, None where there was none."""

    version: int
    kind: Kind[Wire]
    before: Json | None
    after: Json | None


class Journal:
    """All changes, numbered. Whoever changes anything holds `lock`; followers run under it."""

    def __init__(self) -> None:
        self.lock = threading.Condition(threading.RLock())
        self.version = 0
        self.expired = 0
        self._hung_up = 0
        self._changes: list[Change] = []
        self._followers: list[Callable[[Change], None]] = []

    def add(self, kind: Kind[Wire], before: Json | None, after: Json | None) -> None:
        """Note a change that has the next version, and tell."""
        self.version += 1
        if after is not None:
            after["metadata"]["resourceVersion"] = str(self.version)
        change = Change(self.version, kind, before, after)
        self._changes.append(change)
        for follow in self._followers:
            follow(change)
        self.lock.notify_all()

    def follow(self, follower: Callable[[Change], None]) -> None:
        """Call this with each change, in the writer's thread."""
        self._followers.append(follower)

    def expire(self) -> None:
        """Forget all versions so far."""
        with self.lock:
            self.version += 1
            self.expired = self.version
            self.lock.notify_all()

    def hang_up(self) -> None:
        """End all running watches."""
        with self.lock:
            self._hung_up += 1
            self.lock.notify_all()

    def epoch(self) -> tuple[int, int]:
        """Another one means that watches have to end."""
        return self._hung_up, self.expired

    def next_change(self, position: int, over: Callable[[], bool]) -> Change | None:
        """The change at that position, once there is one; None if it is over."""
        with self.lock:
            self.lock.wait_for(lambda: len(self._changes) > position or over())
            return None if over() else self._changes[position]


class FakeWatch:
    """A `Watch` of the fake."""

    def __init__(self, journal: Journal, kind: Kind[Wire], *, since: int, selects: Selects) -> None:
        self._journal = journal
        self._kind = kind
        self._since = since
        self._selects = selects
        self._closed = False
        self._begun = journal.epoch()

    def __iter__(self) -> Iterator[WatchEvent]:
        """See `Watch`."""
        for position in itertools.count():
            change = self._journal.next_change(position, self._over)
            if change is None:
                break
            event = event_of(change, self._kind, self._selects)
            if event is not None and change.version > self._since:
                self._since = change.version
                yield event
        if not self._closed and self._since < self._journal.expired:
            gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
            yield WatchEvent("ERROR", raw(gone))

    def close(self) -> None:
        """See `Watch`."""
        with self._journal.lock:
            self._closed = True
            self._journal.lock.notify_all()

    def _over(self) -> bool:
        return self._closed or self._begun != self._journal.epoch()


def event_of(change: Change, kind: Kind[Wire], selects: Selects) -> WatchEvent | None:
    """What a watcher with that selection sees of a change: nothing, if it concerns others."""
    if change.kind != kind:
        return None
    was = change.before is not None and selects(change.before)
    if change.after is not None and selects(change.after):
        return WatchEvent("MODIFIED" if was else "ADDED", raw(change.after))
    if change.before is None or not was:
        return None
    last = copy.deepcopy(change.before)
    last["metadata"]["resourceVersion"] = str(change.version)
    return WatchEvent("DELETED", raw(last))


def raw(item: Mapping[str, Any]) -> msgspec.Raw:
    """A plain object as text, not yet decoded."""
    return msgspec.Raw(wire.encode(item))
