"""Pools of addresses as ranges: a /64 costs as much as a single address. Pure.

A pool never lists its addresses; it answers for membership, size, and the n-th address.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from itertools import accumulate
from typing import Literal

from outgate.api.view import IPAddress

Version = Literal[4, 6]
_ADDRESS_OF: dict[Version, type[IPv4Address] | type[IPv6Address]] = {
    4: IPv4Address,
    6: IPv6Address,
}


class PoolEntryError(ValueError):
    """An entry of a pool cannot be read; the message says why, and what would be right."""


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Addresses as integers; both ends belong to it."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Pool:
    """Addresses of one family: sorted ranges that neither overlap nor touch."""

    version: Version
    ranges: tuple[Range, ...] = ()
    _starts: tuple[int, ...] = ()
    _offsets: tuple[int, ...] = ()

    @staticmethod
    def of(version: Version, ranges: Iterable[Range]) -> "Pool":
        """The union of the ranges."""
        merged: list[Range] = []
        for piece in sorted(ranges):
            if merged and piece.first <= merged[-1].last + 1:
                merged[-1] = Range(merged[-1].first, max(merged[-1].last, piece.last))
            else:
                merged.append(piece)
        return Pool(
            version,
            tuple(merged),
            tuple(piece.first for piece in merged),
            tuple(accumulate((p.last - p.first + 1 for p in merged), initial=0)),
        )

    @property
    def size(self) -> int:
        """How many addresses there are."""
        return self._offsets[-1] if self._offsets else 0

    def __contains__(self, address: IPAddress) -> bool:
        return address.version == self.version and self.has(int(address))

    def has(self, number: int) -> bool:
        """Whether the address of this number belongs to the pool."""
        place = bisect_right(self._starts, number) - 1
        return place >= 0 and number <= self.ranges[place].last

    def at(self, index: int) -> int:
        """The address at a place, 0 <= index < size, lowest first."""
        place = bisect_right(self._offsets, index) - 1
        return self.ranges[place].first + index - self._offsets[place]

    def walk(self, start: int = 0) -> Iterator[int]:
        """All addresses once, from a place on, going round at the end."""
        if not self.size:
            return
        at = bisect_right(self._offsets, start) - 1
        number = self.at(start)
        yield from range(number, self.ranges[at].last + 1)
        for piece in (*self.ranges[at + 1 :], *self.ranges[:at]):
            yield from range(piece.first, piece.last + 1)
        yield from range(self.ranges[at].first, number)

    def minus(self, other: "Pool") -> "Pool":
        """What is left without the other's addresses."""
        left: list[Range] = []
        for piece in self.ranges:
            first = piece.first
            for hole in _near(other, piece):
                if hole.first > first:
                    left.append(Range(first, hole.first - 1))
                first = max(first, hole.last + 1)
            if first <= piece.last:
                left.append(Range(first, piece.last))
        return Pool.of(self.version, left)

    def common(self, other: "Pool") -> "Pool":
        """The addresses that both have."""
        return Pool.of(
            self.version,
            (
                Range(max(piece.first, near.first), min(piece.last, near.last))
                for piece in self.ranges
                for near in _near(other, piece)
            ),
        )

    def plus(self, other: "Pool") -> "Pool":
        """The addresses that either has."""
        return Pool.of(self.version, (*self.ranges, *other.ranges)) if other.ranges else self

    def describe(self, limit: int = 3) -> str:
        """Its ranges in words, the first few of them."""
        shown = [
            f"{self.address(piece.first)}-{self.address(piece.last)}"
            if piece.first != piece.last
            else str(self.address(piece.first))
            for piece in self.ranges[:limit]
        ]
        more = len(self.ranges) - limit
        return ", ".join(shown) + (f" and {more} more" if more > 0 else "")

    def address(self, number: int) -> IPAddress:
        """The address of a number, in this pool's family."""
        return _ADDRESS_OF[self.version](number)


def _near(pool: Pool, piece: Range) -> Iterator[Range]:
    """The pool's ranges that overlap the piece, in order."""
    place = max(bisect_right(pool._starts, piece.first) - 1, 0)
    for near in pool.ranges[place:]:
        if near.first > piece.last:
            return
        if near.last >= piece.first:
            yield near


@lru_cache(maxsize=256)
def read_pool(entries: tuple[str, ...], version: Version) -> tuple[Pool, tuple[str, ...]]:
    """A pool from its entries, and what is wrong with those that were left out.

    Of a CIDR, what no host may have is not given out: the network and broadcast addresses of an
    IPv4 one shorter than /31, the subnet-router anycast address (RFC 4291 §2.6.1) of an IPv6 one
    shorter than /127 (RFC 6164). A single address or a range is taken as it is written.
    """
    ranges: list[Range] = []
    problems: list[str] = []
    for entry in entries:
        try:
            found, piece = _read(entry, hosts_only=True)
        except PoolEntryError as error:
            problems.append(str(error))
            continue
        if found != version:
            problems.append(f"{entry!r} is IPv{found}, but stands in the IPv{version} pool")
            continue
        ranges.append(piece)
    return Pool.of(version, ranges), tuple(problems)


@lru_cache(maxsize=256)
def read_reserved(entries: tuple[str, ...]) -> tuple[Pool, Pool, tuple[str, ...]]:
    """The reserved addresses per family (IPv4, IPv6), and what is wrong with the others."""
    ranges: dict[int, list[Range]] = {4: [], 6: []}
    problems: list[str] = []
    for entry in entries:
        try:
            found, piece = _read(entry, hosts_only=False)
        except PoolEntryError as error:
            problems.append(f"reserved: {error}")
            continue
        ranges[found].append(piece)
    return Pool.of(4, ranges[4]), Pool.of(6, ranges[6]), tuple(problems)


def _read(entry: str, *, hosts_only: bool) -> tuple[Version, Range]:
    if "/" in entry:
        return _read_cidr(entry, hosts_only=hosts_only)
    first, dash, last = entry.partition("-")
    try:
        start = ip_address(first.strip())
        end = ip_address(last.strip()) if dash else start
    except ValueError as error:
        raise PoolEntryError(
            f"{entry!r} is neither an address, nor a range a-b, nor a CIDR"
        ) from error
    if start.version != end.version:
        raise PoolEntryError(f"{entry!r} mixes IPv4 and IPv6")
    if int(start) > int(end):
        raise PoolEntryError(f"{entry!r} ends before it starts: write {end}-{start}")
    return start.version, Range(int(start), int(end))


def _read_cidr(entry: str, *, hosts_only: bool) -> tuple[Version, Range]:
    try:
        network = ip_network(entry, strict=False)
    except ValueError as error:
        raise PoolEntryError(f"{entry!r} is not a CIDR") from error
    if ip_address(entry.partition("/")[0]) != network.network_address:
        # The whole network may be far more than was meant.
        raise PoolEntryError(f"{entry!r} has host bits set: write {network}, or the address")
    first, last = int(network.network_address), int(network.broadcast_address)
    match network:
        case IPv4Network() if hosts_only and network.prefixlen < 31:
            return 4, Range(first + 1, last - 1)
        case IPv6Network() if hosts_only and network.prefixlen < 127:
            return 6, Range(first + 1, last)
    return network.version, Range(first, last)
