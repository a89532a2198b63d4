"""What a series of probes says: when an address did not serve, and who answered for it. Pure.

Times are seconds of the monotonic clock, whoever took them: it is one for the whole machine.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

APART = 0.1
"""Seconds without an answer after which somebody has stopped answering: ten probes. Who answers
again before that, while another does, answers at the same time as he."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time, its ends included."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Answer:
    """When it came, to which probe, and from whom: a MAC, or an address, as a number."""

    at: float
    number: int
    who: int


@dataclass(slots=True)
class Track:
    """All that is known of one series of probes; grows while it runs.

    sent: when each probe left, by its number. seen: with which source each arrived, where that is
    told: `who` is an address.
    """

    sent: dict[int, float] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    seen: list[Answer] = field(default_factory=list)

    def during(self, span: Span) -> "Track":
        """The probes that left in that time (its end not included), and what came of them."""
        sent = {n: at for n, at in self.sent.copy().items() if span.start <= at < span.end}
        return Track(
            sent,
            [one for one in tuple(self.answers) if one.number in sent],
            [one for one in tuple(self.seen) if one.number in sent],
        )


def outages(track: Track, *, end: float) -> tuple[Span, ...]:
    """The times without service: from each probe that was lost after one that was not, until the
    next one that was answered was sent; until `end`, if none was.

    The first probe counts as if one before it had been answered.
    """
    return tuple(_outages(track, end))


def _outages(track: Track, end: float) -> Iterator[Span]:
    answered = {one.number for one in track.answers}
    began: float | None = None
    for number, at in sorted(track.sent.items()):
        if number in answered:
            if began is not None:
                yield Span(began, at)
            began = None
        elif began is None:
            began = at
    if began is not None:
        yield Span(began, end)


def unserved(track: Track, *, end: float) -> float:
    """Seconds without service, in all."""
    return sum(span.seconds for span in outages(track, end=end))


def blind(track: Track) -> float:
    """The longest time without a probe, in seconds: what may have happened in it, nobody saw."""
    times = sorted(track.sent.values())
    return max((b - a for a, b in pairwise(times)), default=0.0)


def answering(answers: Iterable[Answer], *, apart: float = APART) -> Mapping[int, tuple[Span, ...]]:
    """When each one answered: from the first to the last of answers that are not apart."""
    times: dict[int, list[float]] = {}
    for one in answers:
        times.setdefault(one.who, []).append(one.at)
    return {who: tuple(_joined(sorted(at), apart)) for who, at in sorted(times.items())}


def _joined(times: Sequence[float], apart: float) -> Iterator[Span]:
    start = last = times[0]
    for at in times[1:]:
        if at - last > apart:
            yield Span(start, last)
            start = at
        last = at
    yield Span(start, last)


@dataclass(frozen=True, slots=True)
class Together:
    """How many answered at once, at most, and for how many seconds it was more than one."""

    most: int
    seconds: float


def together(answering: Mapping[int, Sequence[Span]]) -> Together:
    """How many of them answered at once. One who begins as another ends is at once with him."""
    most, seconds, since, count = 0, 0.0, 0.0, 0
    for at, who in _changes(answering):
        if count > 1:
            seconds += at - since
        since, count = at, len(who)
        most = max(most, count)
    return Together(most, seconds)


def moves(answering: Mapping[int, Sequence[Span]]) -> int:
    """How often another one than before was alone in answering."""
    alone = [next(iter(who)) for _, who in _changes(answering) if len(who) == 1]
    return sum(before != after for before, after in pairwise(alone))


def _changes(
    answering: Mapping[int, Sequence[Span]],
) -> Iterator[tuple[float, frozenset[int]]]:
    """When somebody began or ceased to answer, and who all answered from then on."""
    # at the same time, who begins comes before who ends
    edges = sorted(
        edge
        for who, spans in answering.items()
        for span in spans
        for edge in ((span.start, 0, who), (span.end, 1, who))
    )
    now: frozenset[int] = frozenset()
    for at, ends, who in edges:
        now = now - {who} if ends else now | {who}
        yield at, now


def wrong(track: Track, right: int) -> int:
    """How many packets arrived with another source than the right one."""
    return sum(1 for one in track.seen if one.who != right)
