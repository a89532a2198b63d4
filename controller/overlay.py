"""Our own writes, until the watch shows them: a pass never decides on what it has itself outdated.

Also what a new leader has just read: the last one's writes may not have reached our watch yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from outgate.controller.model import HasMetadata, Key, Snapshot

LIFE = 30.0
"""Seconds after which an answer that no watch confirms is forgotten: the object may be gone."""


@dataclass(frozen=True, slots=True)
class _Known:
    """An object as it was answered (None: deleted), its version, and when that was.

    shown: the watch has shown the object before. If it does not any more, the object is gone.
    """

    value: HasMetadata | None
    version: int
    at: float
    shown: bool


class Overlay:
    """Objects as answered to our requests, by the snapshot's field and their key. Not thread-safe.

    Relies on resource versions growing, as the API promises of late and etcd's always did; a
    version that is no number is not remembered.
    """

    def __init__(self) -> None:
        self._known: dict[str, dict[Key, _Known]] = {}

    def saw(self, field: str, value: HasMetadata, *, shown: bool, now: float) -> None:
        """The server answered with this object; `shown`: the watch has (had) it, too."""
        version = _version(value)
        if version:
            self._known.setdefault(field, {})[_key(value)] = _Known(value, version, now, shown)

    def deleted(self, field: str, value: HasMetadata, *, now: float) -> None:
        """The server has deleted this object."""
        version = _version(value)
        if version:
            self._known.setdefault(field, {})[_key(value)] = _Known(None, version, now, True)

    def forget(self, field: str, key: Key) -> None:
        """Whatever we knew of the object, it is not so any more."""
        self._known.get(field, {}).pop(key, None)

    def clear(self) -> None:
        """Believe the watch alone."""
        self._known.clear()

    def expiry(self) -> float | None:
        """When the first of what we know is forgotten if no watch confirms it; None: nothing is."""
        times = [known.at for known_ in self._known.values() for known in known_.values()]
        return min(times) + LIFE if times else None

    def over(self, snapshot: Snapshot, *, now: float) -> Snapshot:
        """The snapshot with what we know better."""
        changed: dict[str, Any] = {}
        for field in list(self._known):
            shown: Mapping[Key, HasMetadata] = getattr(snapshot, field)
            left = {
                key: replace(known, shown=known.shown or key in shown)
                for key, known in self._known[field].items()
                if now - known.at < LIFE and _newer(known, shown.get(key))
            }
            if not left:
                del self._known[field]
                continue
            self._known[field] = left
            merged = dict(shown)
            for key, known in left.items():
                if known.value is None:
                    merged.pop(key, None)
                else:
                    merged[key] = known.value
            changed[field] = merged
        return replace(snapshot, **changed) if changed else snapshot


def _newer(known: _Known, shown: HasMetadata | None) -> bool:
    if shown is None:
        return known.value is not None and not known.shown
    if known.value is None:
        return _version(shown) <= known.version
    return _version(shown) < known.version


def _version(value: HasMetadata) -> int:
    text: str = value.metadata.resource_version
    return int(text) if text.isdigit() else 0


def _key(value: HasMetadata) -> Key:
    meta = value.metadata
    return meta.namespace, meta.name
