"""Conditions: what an object's status says about itself, and when that last changed. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from outgate.api.meta import Condition

MESSAGE_MAX = 4096  # the API takes 32768 bytes; nobody reads that

NAMED = 5
"""How many objects a message names before it only counts."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Now: on the monotonic clock in seconds, for waiting, and on the wall clock, for showing."""

    mono: float
    wall: datetime

    def text(self) -> str:
        """The wall clock as Kubernetes writes it (RFC 3339, UTC, whole seconds)."""
        return self.wall.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def age(self, timestamp: str) -> float:
        """Seconds since a timestamp; 0 if it cannot be read."""
        try:
            then = datetime.fromisoformat(timestamp)
        except ValueError:
            return 0.0
        if then.tzinfo is None:
            then = then.replace(tzinfo=UTC)
        return (self.wall - then) / timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition without its times: what is so now. holds: None if that is not known."""

    type: str
    holds: bool | None
    reason: str
    message: str = ""


_STATUS: Mapping[bool | None, Literal["True", "False", "Unknown"]] = {
    True: "True",
    False: "False",
    None: "Unknown",
}


def conditions(
    findings: Iterable[Finding], *, before: Iterable[Condition], generation: int, now: Moment
) -> tuple[Condition, ...]:
    """The findings as conditions, sorted by type.

    `lastTransitionTime` is that of `before` where the condition's status is the same.
    """
    old = {condition.type: condition for condition in before}
    made: list[Condition] = []
    for finding in sorted(findings, key=lambda finding: finding.type):
        known = old.get(finding.type)
        status = _STATUS[finding.holds]
        same = known is not None and known.status == status and known.last_transition_time
        made.append(
            Condition(
                type=finding.type,
                status=status,
                reason=finding.reason,
                message=finding.message[:MESSAGE_MAX],
                last_transition_time=known.last_transition_time if known and same else now.text(),
                observed_generation=generation,
            )
        )
    return tuple(made)


def condition_of(all_: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of a type, if there is one."""
    return next((condition for condition in all_ if condition.type == type_), None)


def some(names: Collection[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(sorted(names)[:NAMED])
    more = len(names) - NAMED
    return f"{shown} and {more} more" if more > 0 else shown
