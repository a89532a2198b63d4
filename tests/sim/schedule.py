"""One schedule: a cluster, faults, calm, and what must be true at the end."""

from collections.abc import Callable
from dataclasses import dataclass

from outgate.vip.engine.engine import Engine
from outgate.vip.engine.invariants import Broken, Invariants
from outgate.vip.engine.settings import Partition
from sim.checker import CALM, Checker, Violated
from sim.cluster import ADDRESSES, Cluster
from sim.faults import Faults, draw
from sim.node import Node
from sim.timing import settings
from sim.world import World

WATCHED = 10
"""Of so many schedules, one is watched from within, too: each engine after each event."""

START = 0.6
"""Seconds until the faults begin: nearly every node has joined."""

SPREAD = 0.6
"""Seconds within which they all begin."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a schedule. violation: "" if nothing was wrong. moves: to another node."""

    seed: int
    violation: str
    moves: int
    story: tuple[str, ...] = ()


def play(seed: int, *, tell: bool = False, mode: Partition | None = None) -> Outcome:
    """Plays the schedule of that seed; `mode` instead of the one that it would draw."""
    world = World(seed)
    if tell:
        world.story = []
    checker = None
    try:
        checker = _play(world, inside=seed % WATCHED == 0, mode=mode)
        violation = ""
    except (Violated, Broken) as error:
        violation = str(error)
    return Outcome(seed, violation, checker.moves if checker else 0, tuple(world.story or ()))


def _look_inside() -> Callable[[Node], None]:
    """Looks at a node's engine after each event; a new process is a new engine."""
    watching: list[tuple[Engine, Invariants]] = []

    def look(node: Node) -> None:
        engine = node.engine
        if engine is None:
            return
        if not watching or watching[0][0] is not engine:
            watching[:] = [(engine, Invariants(engine))]
        watching[0][1].look(now=node.clock())

    return look


def _play(world: World, *, inside: bool, mode: Partition | None) -> Checker:
    random = world.random
    drawn = random.choice((Partition.AVAILABILITY, Partition.AVAILABILITY, Partition.CONSISTENCY))
    mode = mode or drawn
    cluster = Cluster(
        world,
        nodes=random.choice((2, 2, 2, 2, 2, 2, 3, 3, 3, 4)),
        addresses=ADDRESSES[: random.choice((1, 2, 2, 4))],
        settings=settings(mode),
        failback=random.random() < 0.2,
    )
    # Consistency does not need the segment's word.
    world.net.isolated = mode is Partition.CONSISTENCY and random.random() < 0.7
    nodes, checker = list(cluster.nodes.values()), cluster.checker
    faults = Faults(world, cluster.api, checker)
    world.tell(mode, len(nodes), "nodes, isolated", world.net.isolated, cluster.membership)
    if inside:
        for node in nodes:
            node.after = _look_inside()
    cluster.start()
    checker.watch()
    last = START
    for _ in range(random.choice((1, 1, 2, 2, 3, 4))):
        begins = random.uniform(START, START + SPREAD)
        ends = begins + random.choice((0.02, 0.15, 0.35, 0.6, 0.9, 1.3)) * random.uniform(0.7, 1.3)
        fault = draw(world, nodes)
        world.at(begins, faults.begin, fault)
        world.at(ends, faults.end, fault)
        last = max(last, ends)
    world.run(last + CALM)
    checker.settled()
    world.run(last + CALM + 0.1)
    checker.settled()
    return checker
