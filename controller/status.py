"""Conditions: what an object's status says about itself, and when that last changed. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

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
    """A condition without its times: what is so now."""

    type: str
    holds: bool
    reason: str
    message: str = ""


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
        status = "True" if finding.holds else "False"
        same = known is not None and known.status == status and known.last_transition_time
        made.append(
            Condition(
                type=finding.type,
                status="True" if finding.holds else "False",
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
