"""Which egress id each destination gets under an ordered list of policies.

The longest matching prefix wins; policies that name equally specific destinations are ordered by
their rank, the smallest first. Where a policy excludes a destination it does not apply at all,
and another one may. Addresses are ints here: 10,000 policies take a fraction of a second, where
`ipaddress` objects would take many.
"""

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from outgate.api.view import IPNetwork, PolicyView

Version = Literal[4, 6]

_BITS: dict[Version, int] = {4: 32, 6: 128}


@dataclass(frozen=True, slots=True)
class Egress:
    """An egress id, and the key of the policy that says so."""

    id: int
    policy: str


@dataclass(frozen=True, slots=True)
class EgressRange:
    """Destinations `first` to `last`, both included, as ints, and how they leave."""

    first: int
    last: int
    egress: Egress


@dataclass(frozen=True, slots=True)
class Destinations:
    """How each destination of one family leaves; what is in neither field is not matched.

    singles: what single addresses, as ints, were named for; looked at first. ranges: all the
    others, sorted and disjoint; a single address may be in one as well, which it is an exception
    of.
    """

    singles: Mapping[int, Egress]
    ranges: tuple[EgressRange, ...]

    def of(self, address: int) -> Egress | None:
        """How this destination leaves; None: no policy is about it."""
        if address in self.singles:
            return self.singles[address]
        at = bisect_right(self.ranges, address, key=lambda each: each.first) - 1
        found = at >= 0 and address <= self.ranges[at].last
        return self.ranges[at].egress if found else None


_Stake = tuple[int, int, int, int, Egress]
"""Minus the prefix's length, rank, first and last address, how they leave."""


def resolve(policies: Iterable[PolicyView], *, version: Version) -> Destinations:
    """The destinations that any of the policies matches, in one family.

    Adjacent ranges of the same policy are one.
    """
    ordered = sorted(policies, key=lambda policy: (policy.rank, policy.key))
    stakes: list[_Stake] = []
    singles: dict[int, Egress] = {}
    for rank, policy in enumerate(ordered):
        id_ = policy.egress4 if version == 4 else policy.egress6
        egress = Egress(id_, policy.key)
        holes = merge(span(network) for network in policy.exclusions if network.version == version)
        for length, first, last in _destinations(policy, version=version):
            for start, end in _without(first, last, holes):
                if length == _BITS[version]:
                    singles.setdefault(start, egress)  # of several, the one of the smallest rank
                else:
                    stakes.append((-length, rank, start, end, egress))
    stakes.sort(key=lambda stake: stake[:4])
    return Destinations(singles, tuple(_sweep(stakes)))


def span(network: IPNetwork) -> tuple[int, int]:
    """The first and the last address of a network."""
    first = int(network.network_address)
    return first, first | ((1 << (network.max_prefixlen - network.prefixlen)) - 1)


def merge(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same addresses in as few spans as possible, sorted."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def _destinations(policy: PolicyView, *, version: Version) -> Iterator[tuple[int, int, int]]:
    if not policy.destinations:
        yield 0, 0, (1 << _BITS[version]) - 1
    for network in policy.destinations:
        if network.version == version:
            yield network.prefixlen, *span(network)


def _without(first: int, last: int, holes: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The parts of a span that lie outside of the sorted, disjoint holes."""
    at = max(bisect_right(holes, (first, first)) - 1, 0)
    for start, end in holes[at:]:
        if start > last:
            break
        if end < first:
            continue
        if start > first:
            yield first, start - 1
        first = end + 1
    if first <= last:
        yield first, last


def _sweep(stakes: list[_Stake]) -> Iterator[EgressRange]:
    """Walk over the address space; the open stake with the smallest position in `stakes` wins.

    Stakes that have ended stay in the heap until they come to its top.
    """
    starts = sorted(range(len(stakes)), key=lambda position: stakes[position][2])
    bounds = sorted({stake[2] for stake in stakes} | {stake[3] + 1 for stake in stakes})
    open_: list[int] = []
    next_start = 0
    pending: EgressRange | None = None
    for at, bound in enumerate(bounds[:-1]):
        while next_start < len(starts) and stakes[starts[next_start]][2] == bound:
            heapq.heappush(open_, starts[next_start])
            next_start += 1
        while open_ and stakes[open_[0]][3] < bound:
            heapq.heappop(open_)
        if not open_:
            continue
        egress = stakes[open_[0]][4]
        last = bounds[at + 1] - 1
        if pending and pending.egress == egress and pending.last + 1 == bound:
            pending = EgressRange(pending.first, last, egress)
            continue
        if pending:
            yield pending
        pending = EgressRange(bound, last, egress)
    if pending:
        yield pending
