"""What a move of an address does to what leaves by it: planned (its node is cordoned), and not.

200 TCP flows of two pods, half of them pushed by the server; beside them the 10 ms probe.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from bench import environment
from bench.failover import watch
from bench.failover.bare import cluster
from bench.failover.outgate import OutgateCluster
from bench.failover.sight import ECHO, Sight, watched
from bench.failover.watch import Span, Together
from bench.figures import Figure, percentile
from bench.flows.continuity import AROUND, Flow, Toll, changed, delays, toll
from bench.flows.crowd import FIRST, FLOWS, PORT, Crowd, wanted
from bench.flows.talk import Plan
from outgate.lab import Lab, LabTimeout, Options, passing
from outgate.lab.passing import Fault, Kind
from outgate.lab.topology import OUTSIDE

LAB = "move"
PODS = ("client", "client-2")
ROUNDS = 5
PATIENCE = 60.0
"""Seconds until another node holds the address, and until all is served again."""

BEFORE = 2.0
"""Seconds before a move whose probes say what a probe takes."""

AFTER = 5.0
"""Seconds after a move, and as many again as it took, until it is asked who still speaks."""

DELAY_P99 = 50.0  # ms; this, and the goals below: issue 5, Figures
GO_ON = 99.0


@dataclass(frozen=True, slots=True)
class Move:
    """One move. took: seconds until another node answered; None: none did.

    lost: probes without an answer. added: what each probe around the change took longer than the
    median before, in seconds.
    """

    toll: Toll
    took: float | None
    lost: int
    wrong: int
    answered: Together
    added: tuple[float, ...]


def run() -> tuple[Figure, ...]:
    """Planned moves, then crashes, to and fro."""
    count = environment.rounds("MOVE", ROUNDS)
    with cluster(Options(name=LAB)) as lab:
        outgate = OutgateCluster(lab, report=print, pods=PODS)
        with watched(lab, [outgate]) as sight:
            mover = Mover(lab, outgate, sight)
            planned = [mover.move(planned=True) for _ in range(count)]
            crashes = [mover.move(planned=False) for _ in range(count)]
    return (*_planned(planned), *_crashes(crashes))


class Mover:
    """Moves the address from whoever holds it."""

    def __init__(self, lab: Lab, outgate: OutgateCluster, sight: Sight) -> None:
        self._lab = lab
        self._outgate = outgate
        self._sight = sight
        self._moves = 0
        self._macs = {h.name: int(h.mac.replace(":", ""), 16) for h in lab.topology.nodes}

    def move(self, *, planned: bool) -> Move:
        """Make the flows, move the address, and see what became of them."""
        holder = self._lab.wait("the address to be served", self._holder, timeout=PATIENCE)
        with Crowd(self._plan()) as crowd:
            time.sleep(BEFORE)
            start = time.monotonic()
            if planned:
                self._lab.kubectl("cordon", holder)
                self._until_moved(holder)
                end = time.monotonic()
                flows = crowd.end()
                self._lab.kubectl("uncordon", holder)
            else:
                with passing.happening(self._lab, Fault(Kind.CUT_OFF, holder)):
                    self._until_moved(holder)
                    end = time.monotonic()
                    flows = crowd.end()
        span = Span(start, end)
        made = self._judge(span, holder, flows)
        took = "never" if made.took is None else f"{made.took * 1e3:.0f} ms"
        print(
            f"{'planned' if planned else 'crash'}: {took}, {made.lost} probes lost, "
            f"{made.toll.ended} of {made.toll.flows} flows ended",
            flush=True,
        )
        return made

    def _plan(self) -> Plan:
        namespaces = [str(self._lab.pod_netns(name)) for name in PODS]
        server = str(self._lab.paths.netns(OUTSIDE))
        self._moves += 1
        flows = wanted(namespaces, first=FIRST + self._moves * FLOWS)
        return Plan(server, str(self._lab.outside), PORT, flows)

    def _holder(self) -> str:
        return self._sight.holder(self._outgate) if self._sight.serves(self._outgate) else ""

    def _until_moved(self, holder: str) -> None:
        began = time.monotonic()
        try:
            self._lab.wait(
                "another node to hold the address",
                lambda: self._holder() not in ("", holder),
                timeout=PATIENCE,
                interval=0.05,
            )
        except LabTimeout:
            return
        # a TCP that was not answered asks again after as long as it has asked already
        time.sleep(AFTER + time.monotonic() - began)

    def _judge(self, span: Span, holder: str, flows: Sequence[Flow]) -> Move:
        """What the probes and the flows say."""
        ((address, tracks),) = self._sight.tracks(self._outgate).items()  # the lab is IPv4 only
        usual = median(delays(tracks.data.during(Span(span.start - BEFORE, span.start))))
        at = changed(tracks.arp, span, {self._macs[holder]})
        around = Span(at - AROUND, at + AROUND) if at is not None else span
        data = tracks.data.during(Span(span.start, span.end - ECHO))
        answered = {one.number for one in data.answers}
        return Move(
            toll=toll(flows, span),
            took=None if at is None else at - span.start,
            lost=len(data.sent.keys() - answered),
            wrong=watch.wrong(data, int(address)),
            answered=watch.together(watch.answering(tracks.arp.during(span).answers)),
            added=tuple(max(took - usual, 0.0) for took in delays(tracks.data.during(around))),
        )


def _planned(moves: Sequence[Move]) -> Iterator[Figure]:
    added = [one * 1e3 for move in moves for one in move.added] or [PATIENCE * 1e3]
    yield Figure("lost", sum(move.lost for move in moves), "packets", 0)
    yield Figure("delay-p99", percentile(added, 99), "ms", DELAY_P99)
    yield Figure("delay-worst", max(added), "ms")
    yield from _common("", moves)
    yield Figure("ended", sum(move.toll.ended for move in moves), "flows", 0)


def _crashes(moves: Sequence[Move]) -> Iterator[Figure]:
    flows = sum(move.toll.flows for move in moves)
    ended = sum(move.toll.ended for move in moves)
    yield Figure("crash-lost", sum(move.lost for move in moves) / len(moves), "packets")
    yield from _common("crash-", moves)
    yield Figure("crash-go-on", 100 * (flows - ended) / flows, "%", GO_ON, "higher")


def _common(prefix: str, moves: Sequence[Move]) -> Iterator[Figure]:
    silences = [one * 1e3 for move in moves for one in move.toll.silences] or [0.0]
    took = [move.took if move.took is not None else PATIENCE for move in moves]
    yield Figure(f"{prefix}took-p50", percentile(took, 50) * 1e3, "ms")
    yield Figure(f"{prefix}took-worst", max(took) * 1e3, "ms")
    yield Figure(f"{prefix}answer", max(move.answered.most for move in moves), "MACs", 1)
    yield Figure(f"{prefix}wrong", sum(move.wrong for move in moves), "packets", 0)
    for percent in (50, 99):
        yield Figure(f"{prefix}silent-p{percent}", percentile(silences, percent), "ms")
    yield Figure(f"{prefix}silent-worst", max(silences), "ms")
    yield Figure(f"{prefix}ended-pushed", sum(move.toll.pushed for move in moves), "flows")
    yield Figure(f"{prefix}ended-remapped", sum(move.toll.remapped for move in moves), "flows")
    yield Figure(f"{prefix}ended-reset", sum(move.toll.reset for move in moves), "flows")
    remaps = sum(move.toll.remaps for move in moves) / len(moves)
    yield Figure(f"{prefix}remapped", remaps, "flows", better="higher")
    yield Figure(f"{prefix}rounds", len(moves), "", better="higher")
