"""50,000 flows of two pods, and the address that they leave by moves as planned."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench import environment
from bench.failover.bare import cluster
from bench.failover.outgate import OutgateCluster
from bench.failover.sight import Sight, watched
from bench.figures import Figure
from bench.flows.datagrams import Datagrams, Ports
from outgate.lab import Lab, Options
from outgate.lab.topology import OUTSIDE

LAB = "hand-over"
PODS = ("client", "client-2")
OWN, SERVERS = 25, 1000
"""Ports of each pod, and of the server: each of the ones speaks to each of the others."""

FLOWS = len(PODS) * OWN * SERVERS  # 50,000: issue 5, Deliver
WITHIN = 3.0  # s, issue 5, Deliver
SHARED = 5
"""Ports that both pods use: 5,000 flows have another one at the gateway."""

FIRST, PORT = 20_000, 10_000
ROUNDS = 3
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Moved:
    """One move. told: seconds from asking for the flows to the claim, by the node that claimed.

    took: seconds from the command to the first answer of that node. alive: of the flows, those
    that the server reaches after it. changed: flows with another port at the gateway.
    """

    told: float
    took: float
    flows: int
    alive: int
    changed: int


def run() -> tuple[Figure, ...]:
    """Planned moves, each in a lab of its own: a kernel keeps a round's flows for two minutes."""
    count = environment.rounds("HAND_OVER", ROUNDS)
    return tuple(figures([_round() for _ in range(count)]))


def _round() -> Moved:
    with cluster(Options(name=LAB)) as lab:
        outgate = OutgateCluster(lab, report=print, pods=PODS)
        with watched(lab, [outgate]) as sight:
            return _move(lab, outgate, sight)


def _move(lab: Lab, outgate: OutgateCluster, sight: Sight) -> Moved:
    def other(than: str) -> str:
        holder = sight.holder(outgate) if sight.serves(outgate) else ""
        return holder if holder != than else ""

    nodes = [host.name for host in lab.topology.nodes]
    before = lab.wait("the address to be served", lambda: other(""), timeout=PATIENCE)
    pods = [
        Ports(lab.pod_netns(name), FIRST + place * (OWN - SHARED), OWN)
        for place, name in enumerate(PODS)
    ]
    server = Ports(lab.paths.netns(OUTSIDE), PORT, SERVERS, str(lab.outside))
    with Datagrams(pods, server) as flows:
        epoch = max((one["epoch"] for node in nodes for one in _claims(lab, node)), default=0)
        start = time.monotonic()
        lab.kubectl("cordon", before)
        after = lab.wait(
            "another node to hold it", lambda: other(before), timeout=PATIENCE, interval=0.02
        )
        took = time.monotonic() - start
        alive = flows.push()
        claim = lab.wait(
            f"{after} to tell of its claim",
            lambda: next((one for one in _claims(lab, after) if one["epoch"] > epoch), {}),
            timeout=PATIENCE,
        )
        told = claim.get("tookMilliseconds", 0) / 1e3
        made = Moved(told, took, len(flows), alive, flows.changed)
    print(f"{before} to {after}: {made}", flush=True)
    return made


def _claims(lab: Lab, node: str) -> Sequence[dict[str, Any]]:
    """What the node tells of the addresses that it took."""
    moves = lab.kubectl_json("get", "egresstunnel", node).get("status", {}).get("moves", ())
    return [one for one in moves if one["kind"] == "Claimed"]


def figures(moves: Sequence[Moved]) -> Iterator[Figure]:
    """The worst of all rounds."""
    yield Figure("told", max(one.told for one in moves), "s", WITHIN)
    yield Figure("took", max(one.took for one in moves), "s")
    alive = min(100 * one.alive / one.flows for one in moves)
    yield Figure("go-on", alive, "%", 100.0, "higher")
    yield Figure("flows", min(one.flows for one in moves), "flows", FLOWS, "higher")
    yield Figure("remapped", min(one.changed for one in moves), "flows", better="higher")
