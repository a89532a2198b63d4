"""Class ids: a small number for each distinct list of policies, the same on every run.

An id comes from a hash of the list, not from its position, so that a pod that comes or goes does
not renumber the classes of the others.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b

CLASS_MAX = 0xFFFF

Keys = tuple[str, ...]


def class_ids(lists: Iterable[Keys]) -> Mapping[Keys, int]:
    """An id (1..65535) for each distinct list; two lists never share one.

    Raises ValueError for more lists than there are ids.
    """
    distinct = sorted(set(lists))
    if len(distinct) > CLASS_MAX:
        raise ValueError(f"{len(distinct)} classes, but only {CLASS_MAX} ids")
    ids: dict[Keys, int] = {}
    taken: set[int] = set()
    for keys in distinct:
        id_ = _hash(keys)
        while id_ in taken:
            id_ = id_ % CLASS_MAX + 1
        taken.add(id_)
        ids[keys] = id_
    return ids


def _hash(keys: Keys) -> int:
    # Each key with its length before it: ("ab",) and ("a", "b") are different lists.
    text = "".join(f"{len(key)}:{key}" for key in keys)
    digest = blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % CLASS_MAX + 1
