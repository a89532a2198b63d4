"""Which flows went on, and how long each was silent. Pure; times as in `bench.failover.watch`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.failover.watch import Span, Track

LAST = 2.0
"""Seconds at the end of what is looked at, within which a flow that goes on has been heard."""

AROUND = 0.5
"""Seconds before and after a change of the holder, whose probes show what it delays."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One connection, as its pod has it.

    pushed: only the server speaks; else the pod speaks, and is answered. remapped: the server saw
    another port than the pod's. heard: when something came. broken: what ended it, "" for nothing.
    """

    pushed: bool
    remapped: bool
    heard: tuple[float, ...]
    broken: str = ""


def goes_on(flow: Flow, span: Span) -> bool:
    """Whether the flow is whole, and has been heard at the end of this time."""
    return not flow.broken and any(span.end - LAST <= at <= span.end for at in flow.heard)


def silence(flow: Flow, span: Span) -> float:
    """The longest time within the span in which nothing was heard, in seconds."""
    inside = (at for at in sorted(flow.heard) if span.start < at < span.end)
    return max(b - a for a, b in pairwise((span.start, *inside, span.end)))


@dataclass(frozen=True, slots=True)
class Toll:
    """What a move did to the flows. ended: of which so many did not go on; the same of those that
    the server pushed, and of those whose port was remapped, of whom there were `remaps`.
    reset: ended by a packet that said so, not by silence. silences: of those that went on.
    """

    flows: int
    ended: int
    pushed: int
    remapped: int
    reset: int
    remaps: int
    silences: tuple[float, ...]


def toll(flows: Sequence[Flow], span: Span) -> Toll:
    """All flows of a round; the span is from before the move to well after it."""
    ended = [flow for flow in flows if not goes_on(flow, span)]
    return Toll(
        flows=len(flows),
        ended=len(ended),
        pushed=sum(flow.pushed for flow in ended),
        remapped=sum(flow.remapped for flow in ended),
        reset=sum(bool(flow.broken) for flow in ended),
        remaps=sum(flow.remapped for flow in flows),
        silences=tuple(silence(flow, span) for flow in flows if goes_on(flow, span)),
    )


def delays(track: Track) -> list[float]:
    """How long each answered probe took until its first answer, in seconds."""
    first: dict[int, float] = {}
    for one in track.answers:
        first[one.number] = min(one.at, first.get(one.number, one.at))
    return [at - track.sent[number] for number, at in sorted(first.items())]


def changed(arp: Track, span: Span, holders: Iterable[int]) -> float | None:
    """When somebody else than the holders until then first answered; None if nobody did."""
    known = frozenset(holders)
    return min((one.at for one in arp.during(span).answers if one.who not in known), default=None)
