"""How long it takes until a change is programmed: one pod more, one policy more, and all of it.

A pass is what the agent does, by the agent's own code: view, plans, difference, one transaction.
The kernel edge is the transaction alone: its text, libnftables, the kernel.
"""

import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import msgspec

from bench.figures import Figure, percentile, ratios, summary
from bench.netns import Namespace
from bench.node import Node
from bench.workload import PODS, with_pod, with_policy, workload
from outgate.agent.conntrack import Conntrack
from outgate.agent.view import Snapshot

SIZES = (10, 1_000, 10_000)
ROUNDS = 100
"""Of each change: as many as a p99 needs that is not the worst."""

START_ROUNDS = 3
START_POLICIES = 10_000

EDGE_P99 = 10.0  # ms: part 2, figure 3
START = 3.0  # s: the same
FLAT = 1.25
"""What "flat" is taken to be, as for the cost per packet: the largest against the smallest."""

_SECONDS = 100
"""Bound of the rounds: on a busy machine there are fewer of them."""

_FEWEST = 10


@dataclass
class Samples:
    """Of one change at one size, in ms: wall and CPU of the kernel edge, wall of the pass."""

    edge: list[float] = field(default_factory=list)
    edge_cpu: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)


def run() -> tuple[Figure, ...]:
    """Measure changes, then starts."""
    changes: Mapping[str, Callable[[Snapshot, int], Snapshot]] = {
        "one-pod": lambda base, round_: with_pod(base, PODS + round_ % 5),
        "one-policy": lambda base, round_: with_policy(base, 20_000 + round_),
    }
    figures: list[Figure] = []
    taken = _changes(changes)
    for change in changes:
        for size in SIZES:
            figures += _figures(f"{change}-{size}", taken[change, size])
        smallest, largest = taken[change, SIZES[0]], taken[change, SIZES[-1]]
        flat = ratios(largest.edge_cpu, smallest.edge_cpu)
        figures += summary(f"{change}-edge-flat", flat, unit="x", goal=FLAT)
    return (*figures, *_start())


def _changes(
    changes: Mapping[str, Callable[[Snapshot, int], Snapshot]],
) -> Mapping[tuple[str, int], Samples]:
    """Every round has every change at every size, and takes it back unmeasured."""
    nodes = {size: _node(f"p{size}") for size in SIZES}
    bases = {size: workload(policies=size) for size in SIZES}
    for size in SIZES:
        nodes[size].program(bases[size])
    gc.collect()
    gc.freeze()  # as the agent does after its first pass
    taken = {(change, size): Samples() for change in changes for size in SIZES}
    deadline = time.monotonic() + _SECONDS
    for round_ in range(ROUNDS):
        if round_ >= _FEWEST and time.monotonic() > deadline:
            break
        for change, changed in changes.items():
            for size in SIZES:
                snapshot = changed(bases[size], round_)
                began = time.perf_counter()
                nodes[size].program(snapshot)
                samples = taken[change, size]
                samples.whole.append((time.perf_counter() - began) * 1e3)
                samples.edge.append(nodes[size].nft.wall)
                samples.edge_cpu.append(nodes[size].nft.cpu)
                nodes[size].program(bases[size])
    return taken


def _figures(id_: str, samples: Samples) -> Iterator[Figure]:
    yield Figure(f"{id_}-edge-p99", percentile(samples.edge, 99), "ms", EDGE_P99)
    yield from summary(f"{id_}-edge", samples.edge, unit="ms")
    yield from summary(f"{id_}-edge-cpu", samples.edge_cpu, unit="ms")
    yield Figure(f"{id_}-pass-p99", percentile(samples.whole, 99), "ms")
    yield from summary(f"{id_}-pass", samples.whole, unit="ms")


def _start() -> Iterator[Figure]:
    """A new process each time, from its launch until the node is programmed, then its parts."""
    seconds: list[float] = []
    parts: dict[str, list[float]] = {}
    objects = workload(policies=START_POLICIES)
    with tempfile.TemporaryDirectory(prefix="outgate-bench-") as folder:
        for name, found in (("pods", objects.pods), ("policies", objects.policies)):
            Path(folder, f"{name}.json").write_bytes(msgspec.json.encode(list(found.values())))
        for round_ in range(START_ROUNDS):
            namespace = _namespace(f"s{round_}")
            began = time.perf_counter()
            said = namespace.run(f"{sys.executable} -m bench.start {folder}")
            seconds.append(time.perf_counter() - began)
            told: Mapping[str, float] = json.loads(said)
            told = {"imports": seconds[-1] - sum(told.values()), **told}
            for part, length in told.items():
                parts.setdefault(part, []).append(length)
    yield from summary("start", seconds, unit="s", goal=START)
    for part, lengths in parts.items():
        yield Figure(f"start-{part}", median(lengths), "s")


def _node(role: str) -> Node:
    namespace = _namespace(role)
    return Node(netns=namespace.path, conntrack=lambda: namespace.inside(Conntrack))


def _namespace(role: str) -> Namespace:
    namespace = Namespace(role)
    namespace.sysctl({"ipv6/conf/default/accept_dad": 0})
    namespace.ip(
        "link add eth0 type veth peer name eth0peer",
        "addr add 192.0.2.1/24 dev eth0",
        "link set eth0 up",
        "link set eth0peer up",
        "route add default via 192.0.2.254",
    )
    return namespace
