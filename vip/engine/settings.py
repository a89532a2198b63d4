"""The engine's timings: each with its default, unit and source, and which of them go together.

All are seconds unless said otherwise. The members of a gateway must have the same ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property


class Partition(Enum):
    """What a node does when neither a Lease nor a member tells it what is right (design §3).

    AVAILABILITY keeps an address as long as nobody answers for it. CONSISTENCY lets go, and takes
    nothing from a silent member without the API server.
    """

    AVAILABILITY = "Availability"
    CONSISTENCY = "Consistency"


@dataclass(frozen=True)
class Settings:
    """How the engine paces itself. `validate` says which combinations make no sense.

    The defaults take an address over 400 ms after the last heartbeat of its holder was heard: 300
    until it counts as silent (its kernel lease has run out after 296), 100 for the probe. Between
    that heartbeat and the cut lie 0 to 100 ms, so the outage is 300 to 400 ms, plus a frame.

    lease holds through one lost heartbeat: members acknowledge a holder's heartbeats at once, so
    what a hold rests on is 100 ms old when it is renewed, and 200 after a loss.
    """

    interval: float = 0.1
    """Between heartbeats. Design §3."""
    misses: int = 3
    """Intervals without a heartbeat after which a member is silent. Design §3: 3-5."""
    lease: float = 0.25
    """D: how long the kernel answers for an address after the last evidence. Design §3."""
    isolation: float = 0.8
    """How long a node holds that hears some members, but not all: longer than finding a dead one
    and deposing it takes, so that one death is no outage for the others."""
    drift: float = 0.05
    """By which share a clock may run fast or slow. Brief of the simulator: ±5 %."""
    margin: float = 0.015
    """Added to each wait for another's lease: kernel timers are late by a jiffy or two."""
    probe: float = 0.1
    """From the first of the probes for an address to the verdict. RFC 5227 §2.1.1 waits 2 s for
    bridges that have just come up; ours have been up, and a live holder answers within 1 ms."""
    probes: int = 3
    """Probes sent within that time. RFC 5227 §1.1: PROBE_NUM."""
    freshness: float = 0.4
    """How old another member's word may be to act on it: four heartbeats."""
    withhold: float = 0.5
    """How long a member acknowledges nothing of one that it has called silent, and nothing at all
    after its own start (it may have called somebody silent before): outlasts `freshness`."""
    term: float = 1.5
    """What a renewed Lease is good for, where members don't acknowledge. Others see it there and
    wait that long. Three renewals."""
    renew: float = 0.5
    """Between renewals of a Lease that is relied on."""
    keepalive: float = 10.0
    """Between renewals of a Lease that is not relied on: for people to see. Kubelet's own: 10 s."""
    roster_age: float = 2.0
    """How old a reading of the Leases may be to take an address by it."""
    settle: float = 10.0
    """A member that had been deposed and is back deposes none that it hasn't met for so long; each
    member reads the Leases three times in it, or goes by what members say."""
    api_patience: float = 1.0
    """After which an API server that has not answered counts as away."""
    api_gap: float = 0.25
    """Least time between two readings, or two failed writes, of Leases."""
    grace: float = 3.0
    """After a start, how long members that are eligible but not heard yet keep their share of
    what nobody holds: the first node to boot must not take everything."""
    retry: float = 1.0
    """Until an address that somebody answers for is probed again."""
    prepare: float = 3.0
    """Longest that flows may take to be handed over before a planned move. Issue 5: 50,000 in
    3 s."""
    pass_on: float = 5.0
    """How long the old holder of a planned move passes on late packets. Hosts may ignore an
    announcement within 1 s of the last (metallb#172); the train lasts 2.2 s."""
    restart: float = 10.0
    """The lease announced for a planned restart of this process."""
    defend: float = 10.0
    """Between two defences of one address. RFC 5227 §1.1: DEFEND_INTERVAL."""
    partition: Partition = Partition.AVAILABILITY
    """What decides when nobody can be asked. Design §3."""

    @cached_property
    def silence(self) -> float:
        """How long a member is not heard until it is silent."""
        return self.interval * self.misses

    @cached_property
    def skew(self) -> float:
        """By what another's clock may be slower than ours, as a factor: both may drift."""
        return (1 + self.drift) / (1 - self.drift)

    def outlast(self, duration: float) -> float:
        """How long to wait, by our clock, until `duration` has passed by any other."""
        return duration * self.skew + self.margin


DEFAULTS = Settings()


def validate(settings: Settings) -> tuple[str, ...]:
    """What is wrong with the combination, a sentence each that says what would be right."""
    return tuple(_objections(settings))


def _objections(s: Settings) -> Iterator[str]:
    ms = _milliseconds
    if s.interval < 0.01:
        yield f"interval {ms(s.interval)}: heartbeats need at least 10 ms between them"
    if s.misses < 2:
        yield f"misses {s.misses}: one lost heartbeat would count as a death; use 3"
    if not 0 <= s.drift < 0.2:
        yield f"drift {s.drift}: must be a share between 0 and 0.2, as 0.05"
    if s.lease < 2 * s.interval * s.skew:
        yield (
            f"lease {ms(s.lease)}: one lost heartbeat would let an address go; with heartbeats "
            f"every {ms(s.interval)} it must be at least {ms(2 * s.interval * s.skew)}"
        )
    if s.silence < s.outlast(s.lease):
        yield (
            f"interval times misses is {ms(s.silence)}: a silent member may still answer; with a "
            f"lease of {ms(s.lease)} it must be at least {ms(s.outlast(s.lease))}"
        )
    if s.withhold < s.freshness * s.skew:
        yield (
            f"withhold {ms(s.withhold)}: must outlast freshness, and so be at least "
            f"{ms(s.freshness * s.skew)}"
        )
    if s.freshness < 2 * s.interval * s.skew:
        yield (
            f"freshness {ms(s.freshness)}: no word is that young with heartbeats every "
            f"{ms(s.interval)}; it must be at least {ms(2 * s.interval * s.skew)}"
        )
    if s.isolation < s.silence + s.lease:
        yield (
            f"isolation {ms(s.isolation)}: one member's death would let the others' addresses go; "
            f"it must be at least interval times misses, plus lease, {ms(s.silence + s.lease)}"
        )
    if s.term < 2 * s.renew * s.skew:
        yield f"term {ms(s.term)}: must be at least two renewals, {ms(2 * s.renew * s.skew)}"
    if s.settle < s.outlast(3 * s.roster_age):
        yield (
            f"settle {ms(s.settle)}: must outlast three readings of the Leases, "
            f"{ms(s.outlast(3 * s.roster_age))}"
        )
    if s.restart > s.settle:
        yield f"restart {ms(s.restart)}: must not be longer than settle, {ms(s.settle)}"
    if s.probe < 0.02 * s.probes:
        yield f"probe {ms(s.probe)}: {s.probes} probes need 20 ms each, {ms(0.02 * s.probes)}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
