"""One schedule: a cluster, faults, calm, and what must be true at the end."""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from outgate.vip.engine.engine import Engine
from outgate.vip.engine.events import Membership
from outgate.vip.engine.invariants import Broken, Invariants
from outgate.vip.engine.settings import Partition
from sim.apiserver import ApiServer
from sim.checker import CALM, Checker, Violated
from sim.faults import Faults, draw
from sim.node import Node
from sim.timing import settings
from sim.world import World

ADDRESSES = tuple(
    ip_address(text)
    for text in ("203.0.113.7", "2001:db8::7", "203.0.113.8", "198.51.100.9", "192.0.2.10")
)

WATCHED = 10
"""Of so many schedules, one is watched from within, too: each engine after each event."""

START = 0.8
"""Seconds until the faults begin: every node has joined."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a schedule. violation: "" if nothing was wrong. moves: to another node."""

    seed: int
    violation: str
    moves: int
    story: tuple[str, ...] = ()


def play(seed: int, *, tell: bool = False) -> Outcome:
    """Plays the schedule of that seed."""
    world = World(seed)
    if tell:
        world.story = []
    checker = None
    try:
        checker = _play(world, inside=seed % WATCHED == 0)
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


def _play(world: World, *, inside: bool) -> Checker:
    random = world.random
    mode = random.choice((Partition.AVAILABILITY, Partition.AVAILABILITY, Partition.CONSISTENCY))
    count = random.choice((2, 2, 2, 3, 3, 3, 4))
    names = [f"node-{letter}" for letter in "abcd"[:count]]
    addresses = ADDRESSES[: random.choice((1, 2, 3, 5))]
    membership = Membership(
        "egress",
        frozenset(addresses),
        frozenset(names),
        frozenset(names),
        failback=random.random() < 0.2,
    )
    timing = settings(mode)
    api = ApiServer(world)
    nodes = {
        name: Node(
            name,
            world=world,
            api=api,
            settings=timing,
            rate=1 + random.uniform(-timing.drift, timing.drift),
            memberships=(membership,),
        )
        for name in names
    }
    checker = Checker(world, nodes, addresses=addresses, settings=timing)
    checker.failback = membership.failback
    checker.records = lambda: api.records
    api.swapped = checker.swapped
    faults = Faults(world, api, checker)
    world.tell(mode, names, len(addresses), "failback", membership.failback)
    for node in nodes.values():
        node.peers = {name: peer for name, peer in nodes.items() if name != node.name}
        world.at(random.uniform(0, 0.3), node.start)
        if inside:
            node.after = _look_inside()
    last = START
    for _ in range(random.choice((1, 1, 2, 2, 3, 4))):
        begins = random.uniform(START, START + 0.9)
        ends = begins + random.choice((0.02, 0.15, 0.35, 0.6, 1.0, 1.5)) * random.uniform(0.7, 1.3)
        fault = draw(world, list(nodes.values()))
        world.at(begins, faults.begin, fault)
        world.at(ends, faults.end, fault)
        last = max(last, ends)
    world.run(last + CALM)
    checker.settled()
    world.run(last + CALM + 0.15)
    checker.settled()
    return checker
