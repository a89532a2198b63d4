"""How the probes of one kind go: from answers and misses to a verdict. Pure; `now` is passed in.

Time alone fails nobody: a process that was stopped for a minute has had no answer for a minute,
and nothing is wrong. So as many probes of each target as fit into the timeout must have missed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, inf
from types import MappingProxyType
from typing import Literal

Kind = Literal["icmp", "http"]

ERROR_MAX = 100
"""Characters of an error that a verdict repeats: there may be several."""

PROBES_FAILED = "ProbesFailed"
UPLINK_DOWN = "UplinkDown"


@dataclass(frozen=True, slots=True)
class Check:
    """Targets of one kind. interval, timeout: seconds; timeout > interval (the API sees to it)."""

    kind: Kind
    targets: tuple[str, ...]
    interval: float
    timeout: float

    @property
    def misses(self) -> int:
        """How many probes of a target begin and end within the timeout; at least 1."""
        return max(1, ceil(self.timeout / self.interval) - 1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a node can serve a gateway; if not, a word and a sentence about why."""

    fit: bool
    reason: str = ""
    message: str = ""


FIT = Verdict(True)


@dataclass(frozen=True, slots=True)
class Missed:
    """How often in a row a target has not answered, and what came instead the last time."""

    times: int
    error: str


@dataclass(frozen=True, slots=True)
class Course:
    """The probes of a check until now.

    answered: when any target last did, monotonic seconds; the beginning, if none has yet.
    missed: of the targets whose last probe failed.
    """

    check: Check
    answered: float
    missed: Mapping[str, Missed]

    def heard(self, target: str, *, now: float) -> "Course":
        """The target has answered."""
        missed = {name: known for name, known in self.missed.items() if name != target}
        return replace(self, answered=now, missed=MappingProxyType(missed))

    def lost(self, target: str, error: str) -> "Course":
        """The target has not answered within the interval, or with an error."""
        before = self.missed.get(target)
        known = Missed(1 if before is None else before.times + 1, error)
        return replace(self, missed=MappingProxyType({**self.missed, target: known}))

    def failed(self, now: float) -> bool:
        """Whether no target has answered for the timeout, though each was asked often enough."""
        return self._exhausted() and now >= self.answered + self.check.timeout

    def wake(self, now: float) -> float | None:
        """When it fails if no answer comes; None: not by time alone, or it has already."""
        end = self.answered + self.check.timeout
        return end if self._exhausted() and end > now else None

    def message(self) -> str:
        """Who does not answer, and why not; the same as long as that is the same."""
        errors = "; ".join(
            f"{target}: {self.missed[target].error[:ERROR_MAX]}"
            for target in self.check.targets
            if target in self.missed
        )
        return f"{self.check.kind}: no target has answered for {self.check.timeout:g} s ({errors})"

    def _exhausted(self) -> bool:
        return all(
            target in self.missed and self.missed[target].times >= self.check.misses
            for target in self.check.targets
        )


def begin(check: Check, *, now: float, failed: bool = False) -> Course:
    """The course before its first probe.

    A node is taken for well until its probes have failed: a restart of the agent moves nothing.
    failed: it was unwell before; then it is until a target answers.
    """
    if not failed:
        return Course(check, now, MappingProxyType({}))
    known = Missed(check.misses, "no answer before the agent's start or the probe's last change")
    return Course(check, -inf, MappingProxyType(dict.fromkeys(check.targets, known)))


def verdict(courses: Mapping[Check, Course], checks: tuple[Check, ...], *, now: float) -> Verdict:
    """Of a gateway with these checks: each kind has to pass."""
    failed = [courses[check] for check in checks if courses[check].failed(now)]
    if not failed:
        return FIT
    return Verdict(False, PROBES_FAILED, "; ".join(course.message() for course in failed))


def uplink(why: str) -> Verdict:
    """Of a node's own links, as the vip process sees them. why: what is wrong, or ""."""
    return Verdict(False, UPLINK_DOWN, why) if why else FIT


def combined(*verdicts: Verdict) -> Verdict:
    """Fit if all say so; else the first one's reason, and everybody's message."""
    unfit = [verdict for verdict in verdicts if not verdict.fit]
    if not unfit:
        return FIT
    return Verdict(False, unfit[0].reason, "; ".join(verdict.message for verdict in unfit))
