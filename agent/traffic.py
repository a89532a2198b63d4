"""How much went where: the kernel's counts, by policy and by address. Pure.

The kernel's counters begin anew with a table, or an element, that is made anew; a total goes on.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal, Protocol, TypeVar

from outgate.rules.counts import Count
from outgate.rules.plan import Planned
from outgate.rules.words import LOCAL

T = TypeVar("T")

Direction = Literal["out", "in"]

_NOTHING = Count(0, 0)


class Counted(Protocol):
    """Where the counts come from: `outgate.rules.counts.Counts`."""

    def named(self) -> Mapping[str, Count]:
        """The named counters, by name."""

    def of_set(self, name: str) -> Mapping[bytes, Count]:
        """What each element of a set has matched, by the key's bytes."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """One reading. dropped: by reason. policies, addresses: by name and direction.

    policies_dropped: of those whose gateway was away.
    """

    dropped: Mapping[str, Count]
    policies: Mapping[tuple[str, Direction], Count] = field(default_factory=dict)
    policies_dropped: Mapping[str, Count] = field(default_factory=dict)
    addresses: Mapping[tuple[str, Direction], Count] = field(default_factory=dict)


def read(counted: Counted, planned: Planned | None) -> Traffic:
    """What has been counted, in the names of the plan that the rules were made from.

    Raises what `counted` raises.
    """
    dropped = counted.named()
    if planned is None:
        return Traffic(dropped)
    names = {LOCAL | number: key for key, number in planned.numbers.items()}
    by_policy: dict[Direction, Mapping[bytes, Count]] = {
        "out": counted.of_set("policy_out"),
        "in": counted.of_set("policy_in"),
    }
    policies: dict[tuple[str, Direction], Count] = {}
    for direction, counts in by_policy.items():
        for key, count in _named(counts, names):
            policies[key, direction] = count
    addresses: dict[tuple[str, Direction], Count] = {}
    for version in (4, 6):
        for packed, count in counted.of_set(f"source{version}").items():
            addresses[str(ip_address(packed)), "out"] = count
        held = {each.id << 16: each.ipv4 if version == 4 else each.ipv6 for each in planned.held}
        for address, count in _named(counted.of_set(f"address_in{version}"), held):
            before = addresses.get((str(address), "in"), _NOTHING)
            addresses[str(address), "in"] = _plus(before, count)
    lost = dict(_named(counted.of_set("policy_dropped"), names))
    return Traffic(dropped, policies, lost, addresses)


def _named(
    counts: Mapping[bytes, Count], names: Mapping[int, T | None]
) -> Iterator[tuple[T, Count]]:
    """Marks are in the host's byte order."""
    for key, count in counts.items():
        name = names.get(int.from_bytes(key, sys.byteorder))
        if name is not None:
            yield name, count


def _plus(one: Count, other: Count) -> Count:
    return Count(one.packets + other.packets, one.bytes + other.bytes)
