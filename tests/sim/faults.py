"""What goes wrong: faults with a beginning and an end, drawn from the schedule's randomness.

The network's and the API server's state is made anew from all faults that are under way, so that
they may overlap in any order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from sim.apiserver import ApiServer
from sim.checker import Checker
from sim.node import Node
from sim.world import HOSTS, Link, World


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault while it lasts. Cuts are ordered links; nodes: whom it may cost addresses, all if
    empty. begin, end: what happens besides."""

    name: str
    nodes: frozenset[str] = frozenset()
    underlay: frozenset[Link] = frozenset()
    segment: frozenset[Link] = frozenset()
    loss: float = 0.0
    duplication: float = 0.0
    delay: tuple[float, float] | None = None
    lag: tuple[frozenset[Link], float] | None = None
    api_down: bool = False
    api_away: frozenset[str] = frozenset()
    api_silent: bool = False
    api_latency: tuple[float, float] | None = None
    api_deaf: float = 0.0
    begin: Callable[[], None] | None = None
    end: Callable[[], None] | None = None


@dataclass(slots=True)
class Faults:
    """The faults that are under way."""

    world: World
    api: ApiServer
    checker: Checker
    active: list[Fault] = field(default_factory=list)

    def begin(self, fault: Fault) -> None:
        """The fault begins."""
        self.world.tell("+++", fault.name)
        self.active.append(fault)
        self._apply()
        if fault.begin is not None:
            fault.begin()

    def end(self, fault: Fault) -> None:
        """The fault ends."""
        self.world.tell("---", fault.name)
        self._blame(fault)
        self.active.remove(fault)
        self._apply()
        if fault.end is not None:
            fault.end()

    def _blame(self, fault: Fault) -> None:
        cause = self.checker.cause
        if fault.nodes:
            for node in fault.nodes:
                cause.node[node] = self.world.now
        else:
            cause.all = self.world.now

    def _apply(self) -> None:
        net, api = self.world.net, self.api
        self.checker.faulty = bool(self.active)
        net.underlay_cut = set().union(*(f.underlay for f in self.active))
        before = net.segment_cut
        net.segment_cut = set().union(*(f.segment for f in self.active))
        net.loss = max((f.loss for f in self.active), default=0.0)
        net.duplication = max((f.duplication for f in self.active), default=0.0)
        delays = [f.delay for f in self.active if f.delay is not None]
        net.delay = max(delays, default=(0.0003, 0.002), key=lambda d: d[1])
        net.lag = {link: f.lag[1] for f in self.active if f.lag is not None for link in f.lag[0]}
        api.down = any(f.api_down for f in self.active)
        api.away = set().union(*(f.api_away for f in self.active))
        api.silent = any(f.api_silent for f in self.active)
        latencies = [f.api_latency for f in self.active if f.api_latency is not None]
        api.latency = max(latencies, default=(0.001, 0.01), key=lambda d: d[1])
        api.deaf = max((f.api_deaf for f in self.active), default=0.0)
        if before - net.segment_cut:
            self.checker.healed()


def between(some: Sequence[str], others: Sequence[str]) -> frozenset[Link]:
    """All links from some to others, and back."""
    return frozenset((a, b) for a in some for b in others) | frozenset(
        (b, a) for a in some for b in others
    )


def draw(world: World, nodes: Sequence[Node]) -> Fault:
    """Some fault."""
    random = world.random
    kinds: tuple[tuple[int, Callable[[World, Sequence[Node]], Fault]], ...] = (
        (5, partition),
        (3, underlay_cut),
        (3, one_way),
        (3, api_outage),
        (2, api_trouble),
        (3, bad_network),
        (2, lagging),
        (4, power_off),
        (3, killed),
        (4, stopped),
        (2, restarted),
        (2, ineligible),
        (1, unfit),
    )
    (chosen,) = random.choices([k for _, k in kinds], [w for w, _ in kinds])
    return chosen(world, nodes)


def partition(world: World, nodes: Sequence[Node]) -> Fault:
    """The network falls in two or three; each host is on one side; the API server on any."""
    random = world.random
    parts = 2 if len(nodes) < 3 or random.random() < 0.8 else 3
    side = {n.name: random.randrange(parts) for n in nodes}
    side |= {h: random.randrange(parts) for h in HOSTS}
    everyone = sorted(side)
    cut = frozenset((a, b) for a in everyone for b in everyone if side[a] != side[b])
    blind = {p for p in range(parts) if random.random() < 0.5}
    away = frozenset(n.name for n in nodes if side[n.name] in blind)
    return Fault(
        f"partition {side}, no API for {sorted(away)}",
        underlay=cut,
        segment=cut,
        api_away=away,
        api_silent=random.random() < 0.5,
    )


def underlay_cut(world: World, nodes: Sequence[Node]) -> Fault:
    """Heartbeats don't pass between some nodes, ARP does; maybe those miss the API server, too."""
    random = world.random
    some = [n.name for n in nodes if random.random() < 0.5]
    others = [n.name for n in nodes if n.name not in some]
    away = frozenset(some) if random.random() < 0.4 else frozenset()
    return Fault(
        f"underlay {some} | {others}, no API for {sorted(away)}",
        underlay=between(some, others),
        api_away=away,
    )


def one_way(world: World, nodes: Sequence[Node]) -> Fault:
    """What one node sends is lost, or what is sent to it: heartbeats, or its whole link."""
    random = world.random
    name = random.choice(nodes).name
    rest = [n.name for n in nodes if n.name != name]
    if random.random() < 0.4:
        rest = [random.choice(rest)]
        whole = False
    else:
        whole = random.random() < 0.5
    outwards = random.random() < 0.5
    cut = frozenset((name, r) if outwards else (r, name) for r in rest)
    hosts = frozenset((name, h) if outwards else (h, name) for h in HOSTS)
    return Fault(
        f"one way {'from' if outwards else 'to'} {name}: {rest}{', the whole link' * whole}",
        underlay=cut,
        segment=(cut | hosts) if whole else frozenset(),
        api_away=frozenset({name}) if whole else frozenset(),
        api_silent=True,
    )


def api_outage(world: World, nodes: Sequence[Node]) -> Fault:
    """The API server is away, for all or for some."""
    random = world.random
    silent = random.random() < 0.5
    if random.random() < 0.6:
        return Fault(f"API server down, silent {silent}", api_down=True, api_silent=silent)
    some = frozenset(n.name for n in nodes if random.random() < 0.5)
    return Fault(f"API server away for {sorted(some)}", api_away=some, api_silent=silent)


def api_trouble(world: World, nodes: Sequence[Node]) -> Fault:
    """The API server is slow, or its answers get lost."""
    random = world.random
    slow = random.choice((0.1, 0.3, 0.8))
    deaf = random.choice((0.0, 0.3))
    return Fault(f"API server slow {slow}, deaf {deaf}", api_latency=(0.01, slow), api_deaf=deaf)


def bad_network(world: World, nodes: Sequence[Node]) -> Fault:
    """Loss, delay that reorders, duplicates."""
    random = world.random
    loss = random.choice((0.0, 0.05, 0.2, 0.4))
    late = random.choice((0.002, 0.03, 0.15, 0.6))
    twice = random.choice((0.0, 0.2))
    return Fault(
        f"loss {loss}, delay {late}, duplicates {twice}",
        loss=loss,
        delay=(0.0003, late),
        duplication=twice,
    )


def lagging(world: World, nodes: Sequence[Node]) -> Fault:
    """What one node says comes late to the others; what they say to it may be lost."""
    random = world.random
    name = random.choice(nodes).name
    rest = [n.name for n in nodes if n.name != name]
    late = random.choice((0.1, 0.3, 0.7))
    deaf = random.random() < 0.6
    return Fault(
        f"{name} is {late} late, deaf {deaf}",
        lag=(frozenset((name, r) for r in rest), late),
        underlay=frozenset((r, name) for r in rest) if deaf else frozenset(),
    )


def power_off(world: World, nodes: Sequence[Node]) -> Fault:
    """A node loses its power, and gets it back."""
    node = world.random.choice(nodes)
    return Fault(
        f"power off {node.name}",
        nodes=frozenset({node.name}),
        begin=node.crash,
        end=lambda: None if node.up else node.boot(),
    )


def killed(world: World, nodes: Sequence[Node]) -> Fault:
    """A process is killed, and started again."""
    node = world.random.choice(nodes)
    return Fault(
        f"kill {node.name}",
        nodes=frozenset({node.name}),
        begin=node.kill,
        end=lambda: node.start() if node.up and node.engine is None else None,
    )


def stopped(world: World, nodes: Sequence[Node]) -> Fault:
    """A process is stopped, perhaps between a decision and its effect, and goes on."""
    node = world.random.choice(nodes)
    midway = world.random.random() < 0.5
    return Fault(
        f"stop {node.name}, midway {midway}",
        nodes=frozenset({node.name}),
        begin=lambda: node.pause(midway=midway),
        end=node.resume,
    )


def restarted(world: World, nodes: Sequence[Node]) -> Fault:
    """A process is replaced as planned."""
    from outgate.vip.engine.events import Restarting

    node = world.random.choice(nodes)
    return Fault(
        f"planned restart of {node.name}",
        nodes=frozenset({node.name}),
        begin=lambda: node.happen(Restarting()),
    )


def ineligible(world: World, nodes: Sequence[Node]) -> Fault:
    """A node is cordoned, and uncordoned; each agent hears of it a little later."""
    random = world.random
    name = random.choice(nodes).name

    def say(step: int) -> None:
        world.cordons[name] = world.cordons.get(name, 0) + step
        for node in nodes:
            world.at(world.now + random.uniform(0.0, 0.2), tell, node)

    def tell(node: Node) -> None:
        cordoned = {name for name, times in world.cordons.items() if times}
        for membership in list(node.memberships.values()):
            node.told(replace(membership, eligible=membership.members - cordoned))

    return Fault(
        f"cordon {name}",
        nodes=frozenset({name}),
        begin=lambda: say(1),
        end=lambda: say(-1),
    )


def unfit(world: World, nodes: Sequence[Node]) -> Fault:
    """A node's uplink or probes fail, and work again."""
    from outgate.vip.engine.events import FitnessChanged

    node = world.random.choice(nodes)

    def be(fit: bool) -> None:
        node.fit = fit
        for gateway in sorted(node.memberships):
            node.happen(FitnessChanged(gateway, fit))

    return Fault(
        f"unfit {node.name}",
        nodes=frozenset({node.name}),
        begin=lambda: be(False),
        end=lambda: be(True),
    )
