"""When the policies' statuses say who serves them: once the addresses have come to rest. Pure.

A thousand addresses move in several steps, and each step would be a thousand writes: they take the
API server's time, and on small machines the nodes', just when the moves need it. What moves traffic
is never held back, nor is what little there is.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from outgate.api.policy import PolicyStatus
from outgate.controller.ids import EgressKey

REST = 2.0
"""Seconds without a move until many moves are described: a failover's last one comes within 2 s."""

MOST = 10.0
"""Seconds after which they are described although the moves go on."""

FEW = 64
"""Statuses that are written at once: at four at a time some tenths of a second."""


@dataclass(frozen=True, slots=True)
class Moving:
    """Who held what at the last look, when that had last changed, and since when it kept changing:
    monotonic seconds."""

    holders: Mapping[EgressKey, str] = field(default_factory=lambda: MappingProxyType({}))
    at: float = float("-inf")
    since: float = float("-inf")

    def seen(self, holders: Mapping[EgressKey, str], *, now: float) -> "Moving":
        """After a look at who holds what."""
        if holders == self.holders:
            return self
        since = self.since if now < self.at + REST else now
        return replace(self, holders=holders, at=now, since=since)

    def rests(self) -> float:
        """When to describe them."""
        return min(self.at + REST, self.since + MOST)


def describes(before: PolicyStatus, after: PolicyStatus) -> bool:
    """Whether no pod leaves otherwise by the new status: it only says who serves the policy."""
    return _granted(before) == _granted(after)


def put_off(writes: Collection[object], moving: Moving, *, now: float) -> float | None:
    """When these, which only describe, are to be written; None: now."""
    rests = moving.rests()
    return rests if len(writes) > FEW and now < rests else None


def _granted(status: PolicyStatus) -> tuple[object, ...]:
    return status.gateway, status.eip, status.eips, status.use_node_ip, status.observed_generation
