"""Who leads, decided from a Lease: pure, with the time as a number.

Nobody's wall clock is believed. A candidate times how long it has itself seen the same record,
by its own monotonic clock, and takes over only after the whole duration. A leader counts from
before it sent its last renewal, and stops believing in itself well before that: so for any two
clocks whose rates differ by less than a third, two never lead at once.
"""

from dataclasses import dataclass, replace
from typing import Literal

Step = Literal["create", "take", "renew", "wait"]


@dataclass(frozen=True, slots=True)
class Timing:
    """In seconds, client-go's defaults.

    duration: a lease that nobody renews for so long may be taken. renew_deadline: a leader that
    could not renew for so long leads no more. retry: between two looks, or two renewals.
    Raises ValueError unless duration > renew_deadline > retry > 0.
    """

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not self.duration > self.renew_deadline > self.retry > 0:
            raise ValueError(f"not duration > renew deadline > retry > 0: {self}")


@dataclass(frozen=True, slots=True)
class Record:
    """A Lease as it was read. `renewed` is its wall-clock text: a version, never a time to us."""

    holder: str
    duration: float
    renewed: str
    version: str


@dataclass(frozen=True, slots=True)
class Belief:
    """What a candidate knows: the record (None: there is none), since when, by its own clock.

    `renewed`: when it sent its last renewal that was granted; None if it holds nothing.
    `vanished`: what the record was before somebody deleted it.
    """

    record: Record | None = None
    seen: float = 0.0
    renewed: float | None = None
    vanished: Record | None = None


def observe(belief: Belief, record: Record | None, *, now: float) -> Belief:
    """The belief after reading the record: time counts from when it was first seen like this."""
    if record == belief.record:
        return belief
    if record is None:
        return Belief(seen=now, vanished=belief.record)
    if belief.record is None or record.holder != belief.record.holder:
        return Belief(record=record, seen=now)
    return replace(belief, record=record, seen=now)


def granted(belief: Belief, record: Record, *, sent: float) -> Belief:
    """The belief after a write of ours, sent at that time, has become the record."""
    return replace(belief, record=record, seen=sent, renewed=sent, vanished=None)


def decide(belief: Belief, *, me: str, now: float) -> Step:
    """What to do next. Every step but waiting is a compare-and-swap on the record's version."""
    record = belief.record
    if record is not None and record.holder == me:
        return "renew"
    # Deleting the lease does not depose whoever held it: they lead on until they notice.
    held = record or belief.vanished
    if held is not None and held.holder not in ("", me) and now < belief.seen + held.duration:
        return "wait"
    return "create" if record is None else "take"


def leads(belief: Belief, *, me: str, now: float, timing: Timing) -> bool:
    """Whether `me` leads, and nobody else can believe that they do."""
    return (
        belief.record is not None
        and belief.record.holder == me
        and belief.renewed is not None
        and now < belief.renewed + timing.renew_deadline
    )
