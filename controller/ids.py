"""Egress ids: one for each address in use, unique in the cluster, kept once given. Pure.

A freed id rests before another address may have it, so that no node that has not heard yet sends
one address's traffic to the other. An id that some gateway's status still shows is not free.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from types import MappingProxyType

from outgate.api.gateway import ADDRESSES_MAX
from outgate.api.view import EGRESS_ID_MAX

QUARANTINE = 60.0
"""Seconds that a freed id rests."""

EgressKey = tuple[str, str]
"""Gateway and address; the address is "" for the gateway node's own."""


@dataclass(frozen=True, slots=True)
class Resting:
    """A freed id: whose it was, and until when (monotonic seconds) nobody else may have it."""

    key: EgressKey
    until: float


@dataclass(frozen=True, slots=True)
class IdMemory:
    """What the last pass gave, and what rests."""

    given: Mapping[EgressKey, int] = field(default_factory=lambda: MappingProxyType({}))
    resting: Mapping[int, Resting] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Ids:
    """Ids of the wanted addresses; those in `short` got none: all 65534 are in use or rest."""

    of: Mapping[EgressKey, int]
    short: frozenset[EgressKey]
    memory: IdMemory


def allocate_ids(
    wanted: Iterable[EgressKey],
    *,
    recorded: Iterable[tuple[EgressKey, int]],
    memory: IdMemory,
    now: float,
    quarantine: float = QUARANTINE,
) -> Ids:
    """An id for each wanted address.

    `recorded` is what the gateways' statuses show, by precedence: where two show the same id, the
    first keeps it. The result does not depend on the order of `wanted`.
    """
    keys = sorted(set(wanted))
    desired = set(keys)
    owner: dict[int, EgressKey] = {}
    shown: dict[int, EgressKey] = {}
    given: dict[EgressKey, int] = {}
    for key, number in recorded:
        shown.setdefault(number, key)
        if key in desired and key not in given and number not in owner:
            owner[number], given[key] = key, number
    for key, number in memory.given.items():
        if key in desired and key not in given and number not in owner and number not in shown:
            owner[number], given[key] = key, number

    resting = {n: rest for n, rest in memory.resting.items() if rest.until > now}
    for key, number in memory.given.items():
        if number not in owner:
            resting.setdefault(number, Resting(key, now + quarantine))
    for number, key in shown.items():
        if number not in owner:
            # The rest begins when no status shows the id any more.
            resting[number] = Resting(key, now + quarantine)

    used: dict[str, int] = {}
    for gateway, _ in given:
        used[gateway] = used.get(gateway, 0) + 1
    short: set[EgressKey] = set()
    for key in keys:
        if key in given:
            continue
        free = _probe(key, owner, resting) if used.get(key[0], 0) < ADDRESSES_MAX else None
        if free is None:
            short.add(key)
            continue
        owner[free], given[key] = key, free
        used[key[0]] = used.get(key[0], 0) + 1
    left = {number: rest for number, rest in resting.items() if number not in owner}
    return Ids(
        MappingProxyType(given),
        frozenset(short),
        IdMemory(MappingProxyType(given), MappingProxyType(left)),
    )


def _probe(
    key: EgressKey, owner: Mapping[int, EgressKey], resting: Mapping[int, Resting]
) -> int | None:
    if len(owner) >= EGRESS_ID_MAX:
        return None
    start = int.from_bytes(blake2b("\0".join(key).encode(), digest_size=8).digest(), "big")
    for step in range(EGRESS_ID_MAX):
        number = (start + step) % EGRESS_ID_MAX + 1
        rest = resting.get(number)
        if number not in owner and (rest is None or rest.key == key):
            return number
    return None
