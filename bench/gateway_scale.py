"""What packets and flows cost at the gateway node, by the number of pods behind it.

The pods are simulated: what their node's tunnel would send is made by hand. All of them leave with
one address. Beside it the same packets through the same tunnel to a node without Outgate, which
masquerades them: what conntrack itself pays for many flows is in both.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path as File
from statistics import median

from unit.agent.cluster import EIP4, EIP6, ID4, ID6, gateway, info, keyed, tunnel

from bench.figures import Figure, ratios, summary
from bench.node import Node
from bench.path import NODE, Path
from bench.wire import Batch, datagram, pin, tunnelled
from bench.workload import workload
from outgate.agent.conntrack import Conntrack
from outgate.api.view import DataPathSettings
from outgate.rules.kernel import NftKernel

PODS = (100, 10_000, 100_000)
FLAT = 1.25
"""What "flat" is taken to be: times the cost for the fewest pods, more than without Outgate."""

ROUNDS = 25
MEMORY_ROUNDS = 5
FLOWS = 20_000
"""More of them, for each look at the memory."""

SAMPLE = 1024
"""Packets in a sample."""

_PEER = IPv4Address("192.0.2.2")
_POD = IPv4Address("10.128.0.0")
_OUTSIDE = IPv4Address("198.19.0.0")  # RFC 2544
_MACS = (bytes.fromhex("020000000002"), bytes.fromhex("020000000001"))
_SETTINGS = DataPathSettings()
_OLD, _NEW, _MORE = 8080, 8081, 8082
"""Destination ports of the flows that are established, of those that begin, and of even more."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The flow of that number; its destination and source port leave NAT nothing to choose."""

    number: int
    pod: int
    port: int

    @property
    def destination(self) -> IPv4Address:
        return _OUTSIDE + self.number % 65536

    @property
    def source_port(self) -> int:
        return 20_000 + self.number // 65536

    def packet(self) -> bytes:
        """As it comes out of the tunnel."""
        inner = datagram(_POD + self.pod, self.destination, ports=(self.source_port, self.port))
        return tunnelled(
            inner,
            outer=(_PEER, NODE),
            macs=_MACS,
            vni=_SETTINGS.vni,
            port=_SETTINGS.port,
            group=ID4,
        )

    def reply(self, bound: IPv4Address) -> bytes:
        """What the outside answers."""
        return datagram(self.destination, bound, ports=(self.port, self.source_port))


@dataclass
class Gateway:
    """A gateway node; cost: ns of CPU for a packet, by kind and round.

    bound: the address that all leave with. nft: Outgate's edge to its rules. elements: of all
    its sets. flow: bytes of kernel memory for a flow, by round.
    """

    name: str
    pods: int
    path: Path
    bound: IPv4Address
    nft: NftKernel | None = None
    elements: int = 0
    flow: list[float] = field(default_factory=list)
    cost: dict[str, list[float]] = field(default_factory=dict)


def run() -> tuple[Figure, ...]:
    """One flow of each pod is established; then packets of those, and of new ones, in turns."""
    pin()
    pairs = {pods: (_bare(pods), _outgate(pods)) for pods in PODS}
    running: dict[int, Batch] = {}
    beginning: dict[int, Batch] = {}
    for pods, pair in pairs.items():
        old = [Flow(number, number, _OLD) for number in range(pods)]
        packets = [flow.packet() for flow in old]
        running[pods] = Batch(packets * (-(-SAMPLE // pods)))
        total = ROUNDS * SAMPLE
        beginning[pods] = Batch(
            [Flow(each, each * pods // total, _NEW).packet() for each in range(total)]
        )
        for one in pair:
            _establish(one, Batch(packets), Batch([flow.reply(one.bound) for flow in old]))
    for round_ in range(ROUNDS):
        for pods, pair in pairs.items():
            for one in pair if round_ % 2 else reversed(pair):
                _sample(one, "established", running[pods], round_)
                _sample(one, "first", beginning[pods], round_)
    more = Batch([Flow(each, each, _MORE).packet() for each in range(MEMORY_ROUNDS * FLOWS)])
    for round_ in range(MEMORY_ROUNDS):
        for one in pairs[PODS[-1]]:
            _weigh(one, more, round_)
    return tuple(_figures(pairs))


def _outgate(pods: int) -> Gateway:
    path = Path()
    path.node.ip(f"addr add {EIP4}/32 dev eth0")
    snapshot = replace(
        workload(policies=100, pods=0),
        gateways=keyed(gateway((EIP4, ID4, "node-a"), (EIP6, ID6, "node-a"))),
        tunnels=keyed(tunnel("node-a", 1, mark=1), tunnel("node-b", 2)),
        cluster_infos=keyed(info("10.128.0.0/9")),
    )
    namespace = path.node
    node = Node(netns=namespace.path, conntrack=lambda: namespace.inside(Conntrack))
    node.program(snapshot)
    return Gateway("outgate", pods, path, IPv4Address(EIP4), nft=node.nft)


def _bare(pods: int) -> Gateway:
    """The same tunnel by hand, and the CNI's masquerading."""
    path = Path()
    to, here = (":".join(f"{byte:02x}" for byte in mac) for mac in _MACS)
    path.node.ip(
        f"link add outgate address {here} type vxlan id {_SETTINGS.vni} dstport {_SETTINGS.port}"
        f" local {NODE} gbp nolearning",
        "addr add 198.18.192.1/18 dev outgate",
        "link set outgate up",
        f"neigh add 198.18.192.2 lladdr {to} dev outgate nud permanent",
        "route add 10.128.0.0/9 via 198.18.192.2",
    )
    path.node.run(f"bridge fdb append {to} dev outgate dst {_PEER}")
    return Gateway("none", pods, path, NODE)


def _establish(one: Gateway, packets: Batch, replies: Batch) -> None:
    """A flow of each pod, answered; all of them go the way they should, or nothing is measured."""
    arrived = one.path.arrived()
    one.path.outside.send(packets)
    left = one.path.arrived() - arrived
    one.path.outside.send(replies)
    returned = one.path.arrived() - arrived - left
    if (left, returned) != (one.pods, one.pods):
        raise RuntimeError(
            f"{one.name} with {one.pods} pods: {left} flows left, {returned} replies returned"
        )

    observed = one.nft.observe() if one.nft else None
    if observed is not None:
        one.elements = sum(
            len(each.elements) for table in observed.tables.values() for each in table.sets.values()
        )


def _sample(one: Gateway, kind: str, batch: Batch, round_: int) -> None:
    start = round_ * SAMPLE % max(batch.size - SAMPLE + 1, 1)
    sent, took = one.path.outside.send(batch, start=start, count=SAMPLE)
    one.cost.setdefault(kind, []).append(took / sent)


def _weigh(one: Gateway, packets: Batch, round_: int) -> None:
    """What flows that begin take of the machine's memory: none ended before, to leave room."""
    before = _slab()
    one.path.outside.send(packets, start=round_ * FLOWS, count=FLOWS)
    one.flow.append((_slab() - before) / FLOWS)


def _figures(pairs: dict[int, tuple[Gateway, Gateway]]) -> Iterator[Figure]:
    few, many = pairs[PODS[0]], pairs[PODS[-1]]
    for kind in ("first", "established"):
        for pods, (none, outgate) in pairs.items():
            yield from summary(
                f"{kind}-{pods}", ratios(outgate.cost[kind], none.cost[kind]), unit="x"
            )
        grown, grown_anyway = (
            ratios(more.cost[kind], fewer.cost[kind])
            for more, fewer in zip(reversed(many), reversed(few), strict=True)
        )
        yield from summary(f"{kind}-flat", ratios(grown, grown_anyway), unit="x", goal=FLAT)
        yield from summary(f"{kind}-grows", grown, unit="x")
        yield from summary(f"{kind}-grows-none", grown_anyway, unit="x")
        for pods, pair in pairs.items():
            for one in pair:
                yield Figure(f"{kind}-{one.name}-{pods}-ns", median(one.cost[kind]), "ns")
    for pods, (_, outgate) in pairs.items():
        yield Figure(f"elements-{pods}", outgate.elements, "elements")
    yield Figure("elements-flat", many[1].elements / few[1].elements, "x", 1.0)
    for one in many:
        yield from summary(f"flow-{one.name}-{one.pods}", one.flow, unit="B")


def _slab() -> int:
    """Bytes that the kernel has in slabs that it can't give back: of the whole machine."""
    lines = (line.split() for line in File("/proc/meminfo").read_text().splitlines())
    return next(int(words[1]) * 1024 for words in lines if words[0] == "SUnreclaim:")
