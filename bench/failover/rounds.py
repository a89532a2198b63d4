"""One fault after the other: each round hits the node that holds all contestants' addresses."""

import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass

from bench.failover import watch
from bench.failover.contestant import Contestant, series
from bench.failover.settings import EVERYWHERE, OF_A_PROGRAM, Case
from bench.failover.sight import ECHO, Sight, Tracks
from bench.failover.watch import Span, Together
from outgate.lab import Lab, LabTimeout, passing, processes
from outgate.lab.passing import Fault
from outgate.lab.topology import Role

AMID = 3.0
"""Seconds that a fault has been there when the first of the next ones comes: all have noticed."""

PLACING = 120.0
"""Seconds until all hold again what they should; a deposed node's settling is in it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a round takes. All in seconds.

    watched: that a fault lasts at least; keepalived takes 3.6 of them by default, ours are 2.4 at
    most, from one that can be heard but hears nobody. patience: that it
    lasts at most, if not all addresses serve again before. after: watched after it; of two that had
    not heard of each other, one gives way.
    """

    watched: float = 6.0
    patience: float = 60.0
    after: float = 2.0


BENCH, ALONE = Pace(), Pace(watched=3.0)
"""With keepalived, and without."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One round, of one address. All times in seconds.

    unserved: without service, as the outside sees it; arp: without an answer for the address (by
    ARP, or neighbour discovery). afterwards: without service once the fault had ended.
    served: whether it was served when the fault ended.
    answered: how many MACs answered at once during the fault; healed: after it.
    moves: how often, in all, another one than before was alone in answering.
    wrong: packets that arrived with another source. probes: how many arrived at all; blind: the
    longest time without a probe.
    """

    unserved: float
    arp: float
    afterwards: float
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
        afterwards=watch.unserved(tracks.data.during(after), end=after.end),
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

    @contextmanager
    def amid(self, case: Case) -> Iterator[None]:
        """What is there already when the case's rounds begin, and until they end."""
        if case.all_at_once or not case.amid:
            yield  # where all are to be back at once, the API server comes and goes with them
            return
        with ExitStack() as stack:
            for kind in case.amid:
                stack.enter_context(passing.happening(self._lab, Fault(kind)))
            time.sleep(AMID)  # the figure: the state is that of an outage that lasts
            yield

    def round(self, case: Case) -> Mapping[str, Outcome]:
        """Let a fault happen to who holds the addresses: what came of it, by `series`.

        LabTimeout if some contestant can't be brought to begin the round, or does not serve at its
        end.
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
        time.sleep(self._random.random())  # the figure: faults come at any time of a heartbeat
        start = time.monotonic()
        with ExitStack() as faults:
            for fault in self._faults(case, victim):
                faults.enter_context(fault)
            self._watch(start, served=not case.all_at_once)
            end = time.monotonic()
        healed = time.monotonic()
        if case.all_at_once:
            self._lab.wait("all addresses to be served again", self._served, timeout=PLACING)
        time.sleep(self._pace.after)
        # what was sent last may still be on its way
        during = Span(start, end - ECHO)
        after = Span(end if case.all_at_once else healed, time.monotonic() - ECHO)
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

    def _watch(self, start: float, *, served: bool) -> None:
        """For as long as a fault lasts.

        served: until all serve again, or patience ends: who does not then has the whole time.
        """
        watched, patience = self._pace.watched, self._pace.patience
        self._lab.wait(
            "the fault to show",
            lambda: time.monotonic() > start + watched,
            timeout=watched + 5,
            interval=0.05,
        )
        if served:
            with suppress(LabTimeout):
                self._lab.wait(
                    "all addresses to be served",
                    self._served,
                    timeout=max(start + patience - time.monotonic(), 0.1),
                    interval=0.05,
                )

    def _served(self) -> bool:
        return all(
            self._sight.holder(one, sole=False) and self._sight.serves(one)
            for one in self._contestants
        )

    def _faults(self, case: Case, victim: str) -> Iterator[AbstractContextManager[None]]:
        if case.all_at_once:
            for kind in case.amid:
                yield passing.happening(self._lab, Fault(kind))
        for node in self._struck(case, victim):
            if case.kind in OF_A_PROGRAM and not case.program:
                for one in self._contestants:
                    yield one.struck(case.kind, node)
            else:
                yield passing.happening(self._lab, Fault(case.kind, node, case.program))

    def _struck(self, case: Case, victim: str) -> Iterable[str]:
        """Where the fault is: on the holder; a program that serves all nodes, wherever it runs."""
        nodes = self._lab.topology.nodes
        if case.all_at_once:
            return [node.name for node in nodes if node.role is Role.GATEWAY]
        if case.program not in EVERYWHERE:
            return [victim]
        names = [node.name for node in nodes]
        return [n for n in names if processes.running(self._lab.paths, n, case.program)]
