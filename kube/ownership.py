"""Server-side apply, simply: who owns which field, and what an apply makes of an object. Pure.

Lists are owned and replaced as a whole: true for all of ours that have one writer. The real
server merges keyed lists (conditions); nobody of ours shares one.
"""

import copy
from collections.abc import Mapping
from typing import Any

Path = tuple[str, ...]
Fields = Mapping[Path, Any]

_NOT_OWNED = frozenset(
    {
        ("apiVersion",),
        ("kind",),
        ("metadata", "name"),
        ("metadata", "namespace"),
        ("metadata", "uid"),
        ("metadata", "resourceVersion"),
    }
)


def fields_of(body: Mapping[str, Any], *, under: Path = ()) -> dict[Path, Any]:
    """The fields that a body sets: by path, down to whatever is no (or an empty) mapping."""
    found: dict[Path, Any] = {}
    for name, value in body.items():
        path = (*under, name)
        if isinstance(value, dict) and value:
            found.update(fields_of(value, under=path))
        elif path not in _NOT_OWNED:
            found[path] = value
    return found


def value_at(item: Mapping[str, Any], path: Path) -> Any:
    """The value of a field; None if it is not set."""
    value: Any = item
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]
    return value


def merged(item: Mapping[str, Any], *, wanted: Fields, dropped: set[Path]) -> dict[str, Any]:
    """The object with the wanted fields set and the dropped ones removed."""
    result = copy.deepcopy(dict(item))
    for path in dropped:
        _remove(result, path)
    for path, value in wanted.items():
        inner = result
        for name in path[:-1]:
            if not isinstance(inner.get(name), dict):
                inner[name] = {}
            inner = inner[name]
        inner[path[-1]] = copy.deepcopy(value)
    return result


def _remove(item: dict[str, Any], path: Path) -> None:
    inner = item.get(path[0])
    if len(path) == 1:
        item.pop(path[0], None)
    elif isinstance(inner, dict):
        _remove(inner, path[1:])
        if not inner:
            del item[path[0]]
