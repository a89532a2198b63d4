"""Figures of the rounds: percentiles of the outages, and how many answered. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from bench.failover.rounds import Outcome
from bench.figures import Figure, percentile

P50, P99 = 500.0, 1000.0  # ms, issue 5, Figures: node cut off, default settings
OURS = ("outgate", "outgate-ipv6")
CUT_OFF = "cut-off"


def figures(outcomes: Mapping[str, Mapping[str, Sequence[Outcome]]]) -> Iterator[Figure]:
    """By fault, by contestant: all that the rounds said."""
    for fault, contestants in outcomes.items():
        for name, rounds in contestants.items():
            yield from _figures(f"{fault}-{name}", rounds, ours=name in OURS, fault=fault)


def _figures(id_: str, rounds: Sequence[Outcome], *, ours: bool, fault: str) -> Iterator[Figure]:
    timed = ours and fault == CUT_OFF
    unserved = [one.unserved * 1e3 for one in rounds]
    arp = [one.arp * 1e3 for one in rounds]
    afterwards = [one.afterwards * 1e3 for one in rounds]
    one_only = 1.0 if ours else None
    yield Figure(f"{id_}-p50", percentile(unserved, 50), "ms", P50 if timed else None)
    yield Figure(f"{id_}-p99", percentile(unserved, 99), "ms", P99 if timed else None)
    yield Figure(f"{id_}-arp-p50", percentile(arp, 50), "ms")
    yield Figure(f"{id_}-arp-p99", percentile(arp, 99), "ms")
    yield Figure(f"{id_}-after-p50", percentile(afterwards, 50), "ms")
    yield Figure(f"{id_}-after-p99", percentile(afterwards, 99), "ms")
    yield Figure(f"{id_}-answer", max(one.answered.most for one in rounds), "MACs", one_only)
    together = max(one.answered.seconds for one in rounds)
    yield Figure(f"{id_}-together", together * 1e3, "ms")
    yield Figure(f"{id_}-healed", max(one.healed.most for one in rounds), "MACs")
    healed = max(one.healed.seconds for one in rounds)
    yield Figure(f"{id_}-healed-together", healed * 1e3, "ms")
    if any(one.probes for one in rounds):
        wrong = sum(one.wrong for one in rounds)
        yield Figure(f"{id_}-wrong", wrong, "packets", 0.0 if ours else None)
    yield Figure(f"{id_}-blind", max(one.blind for one in rounds) * 1e3, "ms")
    yield Figure(f"{id_}-rounds", len(rounds), "", better="higher")
