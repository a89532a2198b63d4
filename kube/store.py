"""What the API server holds of one kind, as last seen: one writer, any number of readers."""

import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

import msgspec

from outgate.api.meta import ObjectMeta, Wire
from outgate.kube.wire import Key

T = TypeVar("T", bound=Wire)


class Store(Generic[T]):
    """Objects by (namespace, name). Thread-safe; a snapshot never changes under its reader.

    Subscribers are called, in the writer's thread and without a lock, after a change: an object of
    which nothing that we read differs, but for its resource version, is none. They take no
    arguments: whoever wants to know what changed compares snapshots.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: dict[Key, T] = {}
        # Made on demand, dropped on a change: a burst of events costs one copy, not one each.
        self._snapshot: Mapping[Key, T] | None = None
        self._subscribers: list[Callable[[], object]] = []
        self._synced = threading.Event()

    @property
    def synced(self) -> bool:
        """Whether it has ever held all there is. Stays true: what is old is better than nothing."""
        return self._synced.is_set()

    def wait_synced(self, timeout: float) -> bool:
        """Wait, at most so many seconds, until it is synced; whether it is."""
        return self._synced.wait(timeout)

    def snapshot(self) -> Mapping[Key, T]:
        """All objects, as of now."""
        with self._lock:
            if self._snapshot is None:
                self._snapshot = MappingProxyType(self._items.copy())
            return self._snapshot

    def get(self, name: str, *, namespace: str = "") -> T | None:
        """One object, None if there is none."""
        with self._lock:
            return self._items.get((namespace, name))

    def __len__(self) -> int:
        with self._lock:
            return len(self._items)

    def subscribe(self, callback: Callable[[], object]) -> None:
        """Call this after each change, and when the store gets synced. It must not block."""
        with self._lock:
            self._subscribers.append(callback)

    def replace(self, items: Mapping[Key, T]) -> None:
        """These are all there are: the writer has listed. From now on the store is synced."""
        with self._lock:
            first = not self._synced.is_set()
            changed = (
                first
                or self._items.keys() != items.keys()
                or any(_differs(self._items[key], value) for key, value in items.items())
            )
            self._items = dict(items)
            self._snapshot = None
            self._synced.set()
        self._notify(changed)

    def put(self, key: Key, value: T) -> None:
        """The object is new, or has changed."""
        with self._lock:
            old = self._items.get(key)
            self._items[key] = value
            self._snapshot = None
        self._notify(old is None or _differs(old, value))

    def remove(self, key: Key) -> None:
        """The object is gone."""
        with self._lock:
            known = self._items.pop(key, None) is not None
            if known:
                self._snapshot = None
        self._notify(known)

    def _notify(self, changed: bool) -> None:
        if not changed:
            return
        with self._lock:
            subscribers = tuple(self._subscribers)
        for callback in subscribers:
            callback()


def _differs(old: Wire, new: Wire) -> bool:
    if old == new:
        return False
    return _without_version(old) != _without_version(new)


def _without_version(value: Wire) -> Wire:
    metadata = getattr(value, "metadata", None)
    if not isinstance(metadata, ObjectMeta):
        return value
    return msgspec.structs.replace(
        value, metadata=msgspec.structs.replace(metadata, resource_version="")
    )
