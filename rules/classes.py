"""Class ids: a small number for each distinct list of policies.

An id comes from a hash of the list, not from its position, so that a pod that comes or goes does
not renumber the classes of the others. A list that takes the place of a similar one takes its id
as well: then only what differs has to be written.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b

CLASS_MAX = 0xFFFF

Keys = tuple[str, ...]

_NONE: Mapping[Keys, int] = {}


def class_ids(lists: Iterable[Keys], *, before: Mapping[Keys, int] = _NONE) -> Mapping[Keys, int]:
    """An id (1..65535) for each distinct list; two lists never share one.

    before: the ids so far; a list that is still there keeps its own. Raises ValueError for more
    lists than there are ids.
    """
    distinct = sorted(set(lists))
    if len(distinct) > CLASS_MAX:
        raise ValueError(f"{len(distinct)} classes, but only {CLASS_MAX} ids")
    ids = {keys: before[keys] for keys in distinct if keys in before}
    ids |= _heirs([keys for keys in distinct if keys not in ids], ids, before)
    taken = set(ids.values())
    for keys in distinct:
        if keys in ids:
            continue
        id_ = _hash(keys)
        while id_ in taken:
            id_ = id_ % CLASS_MAX + 1
        taken.add(id_)
        ids[keys] = id_
    return ids


def _heirs(
    new: Iterable[Keys], kept: Mapping[Keys, int], before: Mapping[Keys, int]
) -> dict[Keys, int]:
    """The new lists that share more than half with one that is gone, with its id."""
    gone = {keys for keys in before if keys not in kept}
    having: dict[str, list[Keys]] = {}
    for keys in sorted(gone):
        for key in keys:
            having.setdefault(key, []).append(keys)
    heirs: dict[Keys, int] = {}
    for keys in new:
        shared = Counter(old for key in keys for old in having.get(key, ()) if old in gone)
        for old, count in shared.most_common(1):
            if 2 * count > max(len(keys), len(old)):
                heirs[keys] = before[old]
                gone.discard(old)
    return heirs


def _hash(keys: Keys) -> int:
    # Each key with its length before it: ("ab",) and ("a", "b") are different lists.
    text = "".join(f"{len(key)}:{key}" for key in keys)
    digest = blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % CLASS_MAX + 1
