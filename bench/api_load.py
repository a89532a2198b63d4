"""What gateway nodes ask of the API server for their Leases: in peace, and when one of them dies.

The engines of all nodes, as they ship, by the simulator's virtual clock; requests are counted where
they would leave. So the figures don't depend on the machine.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from ipaddress import ip_address

from sim.apiserver import ApiServer
from sim.node import Node
from sim.world import World

from bench.figures import Figure
from outgate.api.view import IPAddress
from outgate.vip.engine.actions import ReadLeases, WriteLease
from outgate.vip.engine.events import Event, Membership
from outgate.vip.engine.settings import DEFAULTS

SIZES = (3, 30, 300)
ADDRESSES = 1000
"""Of all gateways together."""
TOGETHER = 3
"""Nodes of a gateway."""
LARGE = 30
"""Nodes of one large gateway."""
FEW = 10
"""Addresses of the run that shows whether their number matters."""
A_NODE = 3 / DEFAULTS.settle + 1 / DEFAULTS.keepalive
"""Requests of a node in a second, by the schedule of `outgate.vip.engine.leases`: readings, and
renewals of its one Lease."""

SETTLED = 15.0
"""Seconds after which all members have long been in, and hold what is theirs."""
PEACE = 20.0
"""Seconds: two keep-alive renewals of each node, six readings."""
AFTER = 10.0
"""Seconds after a death. It is over within one."""

LEASE_BYTES = 672
"""One Lease in a list, as kube-apiserver 1.36 sends it after its first renewal: without
`managedFields`, which were another 600."""


class Counting(ApiServer):
    """Notes when it is asked for what: True for a reading, and how many Leases that brings.

    gateways: of each node, those it is in, whose Leases it selects.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._clock = world
        self.gateways: dict[str, str] = {}
        self.asked: list[tuple[float, bool, int]] = []

    def ask(
        self, node: str, action: ReadLeases | WriteLease, answer: Callable[[Event], None]
    ) -> None:
        """Notes it, and goes on."""
        reads = isinstance(action, ReadLeases)
        own = self.gateways[node]
        selected = sum(gateway == own for gateway, _ in self.records) if reads else 0
        self.asked.append((self._clock.now, reads, selected))
        super().ask(node, action, answer)


class Quiet(Node):
    """A node that hears no announcements: they cost the API server nothing, and us much time."""

    def announced(self, address: IPAddress, by: str) -> None:
        """Nothing."""


class Mesh:
    """So many gateway nodes, in gateways of `together` nodes; addresses: of each gateway."""

    def __init__(self, nodes: int, *, together: int, addresses: int) -> None:
        self.world = World(1)
        self.api = Counting(self.world)
        self.nodes: list[Quiet] = []
        names = [f"node-{number}" for number in range(nodes)]
        for first in range(0, nodes, together):
            self._gateway(names[first : first + together], first, addresses)

    def _gateway(self, names: list[str], first: int, addresses: int) -> None:
        members = frozenset(names)
        held = frozenset(ip_address((10 << 24) + (first << 12) + i) for i in range(addresses))
        membership = Membership(f"gateway-{first}", held, members, members)
        made = {
            name: Quiet(
                name,
                world=self.world,
                api=self.api,
                settings=DEFAULTS,
                rate=1.0,
                memberships=(membership,),
            )
            for name in names
        }
        self.api.gateways |= dict.fromkeys(names, membership.gateway)
        for name, node in made.items():
            node.peers = {other: peer for other, peer in made.items() if other != name}
            self.world.at(self.world.random.uniform(0, 0.3), node.start)
        self.nodes += made.values()

    def counted(self, seconds: float) -> list[tuple[float, bool, int]]:
        """What is asked within so many seconds from now."""
        before, began = len(self.api.asked), self.world.now
        self.world.run(began + seconds)
        return [(at - began, reads, leases) for at, reads, leases in self.api.asked[before:]]


def run() -> tuple[Figure, ...]:
    """Gateways of three nodes, 1,000 addresses in all; then fewer, then one large gateway."""
    return tuple(_figures())


def _figures() -> Iterator[Figure]:
    rates = {}
    for size in SIZES:
        each = ADDRESSES * TOGETHER // size
        mesh = Mesh(size, together=TOGETHER, addresses=each)
        rates[size], figures = _peace(f"peace-{size}", mesh)
        yield from figures
        yield from _death(f"death-{size}", mesh, rates[size])
        yield Figure(f"linear-{size}", rates[size] / (size * A_NODE), "x", goal=1.05)
        yield Figure(f"all-{size}-bytes", _lists(size, together=size), "MB/s")
    few, _ = _peace("few", Mesh(TOGETHER, together=TOGETHER, addresses=FEW))
    yield Figure(f"addresses-{ADDRESSES}", rates[TOGETHER] / few, "x", goal=1.05)

    large = Mesh(LARGE, together=LARGE, addresses=FEW)
    rate, figures = _peace(f"one-gateway-{LARGE}", large)
    yield from figures
    yield from _death(f"one-gateway-{LARGE}-death", large, rate)


def _lists(nodes: int, *, together: int) -> float:
    """MB/s that readings bring by the schedule, which `linear` holds them to. 300 nodes of one
    gateway would take the simulator an hour."""
    return nodes * together * LEASE_BYTES * 3 / DEFAULTS.settle / 1e6


def _peace(name: str, mesh: Mesh) -> tuple[float, tuple[Figure, ...]]:
    """Requests in a second while nothing happens, and the figures that tell of it."""
    mesh.world.run(SETTLED)
    asked = mesh.counted(PEACE)
    read = [leases for _, reads, leases in asked if reads]
    rate = len(asked) / PEACE
    return rate, (
        Figure(name, rate, "1/s"),
        Figure(f"{name}-reads", len(read) / PEACE, "1/s"),
        Figure(f"{name}-peak", _peak(asked), "1/s"),
        Figure(f"{name}-bytes", sum(read) * LEASE_BYTES / PEACE / 1e6, "MB/s"),
    )


def _death(name: str, mesh: Mesh, rate: float) -> Iterator[Figure]:
    """One node loses its power: what is asked beyond what is asked in peace."""
    mesh.nodes[1].crash()
    asked = mesh.counted(AFTER)
    yield Figure(f"{name}-more", len(asked) - rate * AFTER, "requests")
    yield Figure(f"{name}-peak", _peak(asked), "1/s")


def _peak(asked: list[tuple[float, bool, int]]) -> int:
    """The most in one second."""
    return max(Counter(int(at) for at, _, _ in asked).values())
