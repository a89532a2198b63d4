"""One fault after the other: each round hits the node that holds all contestants' addresses."""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.failover import watch
from bench.failover.contestant import Contestant, series
from bench.failover.settings import EVERYWHERE, OF_A_PROGRAM, Case
from bench.failover.sight import ECHO, Sight, Tracks
from bench.failover.watch import Span, Together
from outgate.lab import Lab, LabTimeout, passing, processes
from outgate.lab.passing import Fault, Kind

AMID = 3.0
"""Seconds that a fault has been there when the next one comes: all have noticed."""

PLACING = 120.0
"""Seconds until all hold again what they should; a deposed node's settling is in it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a round takes. All in seconds.

    watched: that a fault lasts at least; keepalived takes 3.6 of them by default. patience: that it
    lasts at most, if not all addresses serve again before. after: watched after it; of two that had
    not heard of each other, one gives way.
    """

    watched: float = 6.0
    patience: float = 60.0
    after: float = 2.0


BENCH = Pace()


@dataclass(frozen=True, slots=True)
class Outcome:
    """One round, of one address. All times in seconds.

    unserved: without service, as the outside sees it; arp: without an answer for the address (by
    ARP, or neighbour discovery).
    served: whether it was served when the fault ended.
    answered: how many MACs answered at once during the fault; healed: after it.
    moves: how often, in all, another one than before was alone in answering.
    wrong: packets that arrived with another source. probes: how many arrived at all; blind: the
    longest time without a probe.
    """

    unserved: float
    arp: float
    served: bool
    answered: Together
    healed: Together
    moves: int
    wrong: int
    probes: int
    blind: float


def outcome(tracks: Tracks, during: Span, after: Span, *, address: int) -> Outcome:
    """What the tracks say of a fault and of the time after it. Pure."""
    whole = Span(during.start, after.end)
    # who was struck may never have answered since
    known = Span(during.start - watch.APART, after.end)
    arp, data = tracks.arp.during(during), tracks.data.during(during)
    all_data = tracks.data.during(whole)
    return Outcome(
        unserved=watch.unserved(data, end=during.end),
        arp=watch.unserved(arp, end=during.end),
        served=all(span.end < during.end for span in watch.outages(data, end=during.end)),
        answered=watch.together(watch.answering(arp.answers)),
        healed=watch.together(watch.answering(tracks.arp.during(after).answers)),
        moves=watch.moves(watch.answering(tracks.arp.during(known).answers)),
        wrong=watch.wrong(all_data, address),
        probes=len(all_data.seen),
        blind=max(watch.blind(arp), watch.blind(data)),
    )


class Rounds:
    """The contestants in one lab, watched by one observer."""

    def __init__(
        self, lab: Lab, contestants: Sequence[Contestant], sight: Sight, *, pace: Pace = BENCH
    ) -> None:
        self._lab = lab
        self._contestants = contestants
        self._sight = sight
        self._pace = pace
        self._random = random.Random(1)  # where within a heartbeat a fault falls

    def round(self, case: Case) -> Mapping[str, Outcome]:
        """Let a fault happen to who holds the addresses: what came of it, by `series`.

        LabTimeout if some contestant can't be brought to begin the round.
        """
        victim = self._victim()
        for one in self._contestants:
            one.place(victim)
        self._lab.wait(
            f"all addresses to be served by {victim}",
            lambda: all(
                self._sight.holder(one) == victim and self._sight.serves(one)
                for one in self._contestants
            ),
            timeout=PLACING,
            interval=0.05,
        )
        with ExitStack() as before:
            for kind in case.amid:
                before.enter_context(self._fault(kind, victim))
            # the figure: faults come at any time of a heartbeat
            time.sleep((AMID if case.amid else 0.0) + self._random.random())
            start = time.monotonic()
            with self._fault(case.kind, victim, case.program):
                self._watch(start)
                end = time.monotonic()
            healed = time.monotonic()
        time.sleep(self._pace.after)
        # what was sent last may still be on its way
        during = Span(start, end - ECHO)
        after = Span(healed, time.monotonic())
        return {
            series(one, address): outcome(tracks, during, after, address=int(address))
            for one in self._contestants
            for address, tracks in self._sight.tracks(one).items()
        }

    def _victim(self) -> str:
        """The node that some contestant is held to; else the first."""
        self._lab.wait(
            "the addresses that nobody places to be held",
            lambda: all(self._sight.holder(one) for one in self._contestants if one.leader("x")),
            timeout=PLACING,
        )
        leaders = (one.leader(self._sight.holder(one)) for one in self._contestants)
        return next((node for node in leaders if node), self._lab.topology.nodes[0].name)

    def _watch(self, start: float) -> None:
        """Until all serve again, or patience ends: who does not then has the whole time."""
        watched, patience = self._pace.watched, self._pace.patience
        self._lab.wait(
            "the fault to show",
            lambda: time.monotonic() > start + watched,
            timeout=watched + 5,
            interval=0.05,
        )
        try:
            self._lab.wait(
                "all addresses to be served",
                lambda: all(
                    self._sight.holder(one, sole=False) and self._sight.serves(one)
                    for one in self._contestants
                ),
                timeout=max(start + patience - time.monotonic(), 0.1),
                interval=0.05,
            )
        except LabTimeout:
            return

    @contextmanager
    def _fault(self, kind: Kind, node: str, program: str = "") -> Iterator[None]:
        with ExitStack() as stack:
            if kind in OF_A_PROGRAM and not program:
                for one in self._contestants:
                    stack.enter_context(one.struck(kind, node))
            else:
                for host in self._hosts(node, program):
                    stack.enter_context(passing.happening(self._lab, Fault(kind, host, program)))
            yield

    def _hosts(self, node: str, program: str) -> tuple[str, ...]:
        """Where the fault is: on the holder; a program that serves all nodes, wherever it runs."""
        if program not in EVERYWHERE:
            return (node,)
        names = (host.name for host in self._lab.topology.nodes)
        return tuple(n for n in names if processes.running(self._lab.paths, n, program))
