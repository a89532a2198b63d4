"""How long an address is away when its node goes, and who answers for it: Outgate, and beside it
keepalived, on the same nodes, hit by the same faults at the same time, seen by the same probe.
"""

import time
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address

from bench.failover.bare import cluster, segment
from bench.failover.contestant import Contestant
from bench.failover.keepalived import DEFAULTS, TUNED, Keepalived
from bench.failover.outgate import OutgateCluster
from bench.failover.rounds import ALONE, BENCH, Outcome, Rounds
from bench.failover.settings import Settings, from_environment
from bench.failover.sight import watched
from bench.failover.summary import figures
from bench.figures import Figure
from outgate.lab import Families, Lab, Options

LAB = "failover"


def run() -> tuple[Figure, ...]:
    """All rounds of all faults."""
    wanted = from_environment()
    options = Options(name=LAB, families=Families.DUAL)
    with cluster(options) if "outgate" in wanted.systems else segment(options) as lab:
        return tuple(figures(measure(lab, wanted)))


def measure(lab: Lab, wanted: Settings) -> dict[str, dict[str, list[Outcome]]]:
    """By fault, and by contestant (and family), the outcome of each round."""
    outcomes: dict[str, dict[str, list[Outcome]]] = {}
    systems = contestants(lab, wanted.systems)
    with watched(lab, systems) as sight:
        pace = ALONE if wanted.systems == ("outgate",) else BENCH
        rounds = Rounds(lab, systems, sight, pace=pace)
        for case in wanted.faults:
            by_name = outcomes[case.name] = {}
            with rounds.amid(case):
                for number in range(wanted.rounds):
                    began = time.monotonic()
                    for name, outcome in rounds.round(case).items():
                        by_name.setdefault(name, []).append(outcome)
                    took = time.monotonic() - began
                    print(f"{case.name} {number + 1}: {_last(by_name)} ({took:.0f} s)", flush=True)
    return outcomes


def _last(outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    """What came of the last round, of each contestant."""
    return ", ".join(
        f"{name} {rounds[-1].unserved * 1e3:.0f} + {rounds[-1].afterwards * 1e3:.0f} ms"
        for name, rounds in outcomes.items()
    )


def contestants(lab: Lab, names: Sequence[str]) -> list[Contestant]:
    """Those of these names. Their addresses are outside of the gateway's pool."""
    known: dict[str, Contestant] = {
        "outgate": OutgateCluster(lab, report=print),
        "keepalived": Keepalived(
            lab, "keepalived", DEFAULTS, router_id=51, address=IPv4Address("172.30.0.190")
        ),
        "keepalived-tuned": Keepalived(
            lab, "keepalived-tuned", TUNED, router_id=52, address=IPv4Address("172.30.0.191")
        ),
    }
    return [known[name] for name in names]
