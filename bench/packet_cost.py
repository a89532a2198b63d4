"""What a packet costs on a pod's node, the first of a flow and the later ones, by policies.

Every sample is taken beside one of the same packets on the same path without Outgate.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from statistics import median

from unit.agent.cluster import EIP4, EIP6, ID4, ID6, gateway, keyed, tunnel

from bench import rulewise
from bench.figures import Figure, ratios, summary
from bench.node import Node
from bench.path import NODE, Path
from bench.wire import Batch, datagram, pin
from bench.workload import PODS, destination4, pod_address4, workload
from outgate.agent.conntrack import Conntrack
from outgate.api.view import DataPathSettings

SIZES = (0, 1, 100, 1_000, 10_000)
FLOWS = 1024
GOAL = 1.25
"""Part 2, figure 1: times the cost without Outgate."""

ROUNDS = 25
_SECONDS = 50
"""Bound of all rounds of one kind of packet."""

_SLICE = 0.03
"""Seconds of CPU that a sample takes at most: where a packet takes a millisecond, fewer do."""

_PORT = 8080
_FIRST_PORT = 20_000


@dataclass(frozen=True, slots=True)
class Flow:
    """Of UDP; its source port is that of no other flow."""

    source: IPv4Address
    destination: IPv4Address
    ports: tuple[int, int]


@dataclass
class Variant:
    """A node that does it in some way; cost: ns of CPU for a packet, by kind and round."""

    name: str
    policies: int
    path: Path
    bound: IPv4Address | None
    """The address that its flows leave with; None: the pod's own, into the tunnel."""
    cost: dict[str, list[float]] = field(default_factory=dict)


def run() -> tuple[Figure, ...]:
    """Set everything up, then measure all in turns."""
    pin()
    batches = {size: Batch([_packet(flow) for flow in flows(size)]) for size in SIZES}
    groups = {size: list(_variants(size)) for size in SIZES}
    _measure("first", groups, batches, before=Path.forget)
    for size, variants in groups.items():
        for variant in variants:
            _establish(variant, batches[size])
    _measure("established", groups, batches, before=lambda path: None)
    return tuple(_figures(groups))


def flows(policies: int) -> tuple[Flow, ...]:
    """As many as FLOWS, evenly over the policies; without any, as if there were one."""
    count = max(policies, 1)
    spread = [
        number * count // FLOWS if count > FLOWS else number % count for number in range(FLOWS)
    ]
    return tuple(
        Flow(pod_address4(policy % PODS), destination4(policy), (_FIRST_PORT + number, _PORT))
        for number, policy in enumerate(spread)
    )


def _packet(flow: Flow) -> bytes:
    return datagram(flow.source, flow.destination, ports=flow.ports)


def _variants(size: int) -> Iterator[Variant]:
    yield Variant("none", size, Path(), NODE)
    yield _outgate(size, here=True)
    if not size:
        return
    yield _outgate(size, here=True, counters=False)
    yield _outgate(size, here=False)
    for name, program in rulewise.KINDS.items():
        path = Path()
        program(path.node, size)
        yield Variant(name, size, path, NODE)


def _outgate(policies: int, *, here: bool, counters: bool = True) -> Variant:
    """The node holds the egress address itself (`outgate`), or another one does (`tunnel`)."""
    path = Path()
    snapshot = workload(policies=policies)
    if here:
        path.node.ip(f"addr add {EIP4}/32 dev eth0")
        held = gateway((EIP4, ID4, "node-a"), (EIP6, ID6, "node-a"))
        places = keyed(tunnel("node-a", 1, mark=1), tunnel("node-b", 2, mark=2))
        snapshot = replace(snapshot, gateways=keyed(held), tunnels=places)
    namespace = path.node
    node = Node(
        netns=namespace.path,
        conntrack=lambda: namespace.inside(Conntrack),
        settings=DataPathSettings(counters=counters),
    )
    node.program(snapshot)
    if not here:
        return Variant("tunnel", policies, path, None)
    name = "outgate" if counters else "uncounted"
    return Variant(name, policies, path, IPv4Address(EIP4) if policies else NODE)


def _measure(
    kind: str,
    groups: Mapping[int, list[Variant]],
    batches: Mapping[int, Batch],
    *,
    before: Callable[[Path], object],
) -> None:
    deadline = time.monotonic() + _SECONDS
    for round_ in range(ROUNDS):
        if time.monotonic() > deadline:
            break
        for size, variants in groups.items():
            # Whoever comes first finds other caches: not always the same one.
            for variant in variants if round_ % 2 else reversed(variants):
                before(variant.path)
                sent, took = variant.path.sender.send(batches[size], most=_SLICE)
                variant.cost.setdefault(kind, []).append(took / sent)


def _establish(variant: Variant, batch: Batch) -> None:
    """Each flow is begun and answered; and goes the way it should, or nothing is measured."""
    path, all_flows = variant.path, flows(variant.policies)
    path.forget()
    before = path.arrived()
    path.sender.send(batch)
    arrived = path.arrived() - before
    replies = (
        datagram(each.destination, variant.bound or each.source, ports=each.ports[::-1])
        for each in all_flows
    )
    path.outside.send(Batch(list(replies)))
    found = path.bindings()
    wanted = {each.ports[0]: (variant.bound or each.source, True) for each in all_flows}
    right = sum(found.get(port) == bound for port, bound in wanted.items())
    if (arrived, right) != (FLOWS, FLOWS):
        raise RuntimeError(
            f"{variant.name} with {variant.policies} policies: of {FLOWS} flows {arrived} arrived,"
            f" {right} are bound and answered as they should be"
        )


def _figures(groups: Mapping[int, list[Variant]]) -> Iterator[Figure]:
    for kind in ("first", "established"):
        for size, (none, *others) in groups.items():
            for variant in others:
                name = f"{kind}-{variant.name}-{size}"
                goal = GOAL if variant.name in ("outgate", "uncounted") else None
                against = ratios(variant.cost[kind], none.cost[kind])
                yield from summary(name, against, unit="x", goal=goal)
        by_size = {
            each.policies: each.cost[kind]
            for variants in groups.values()
            for each in variants
            if each.name == "outgate"
        }
        flat = ratios(by_size[SIZES[-1]], by_size[1])
        yield from summary(f"{kind}-outgate-flat", flat, unit="x")
        for size, variants in groups.items():
            for variant in variants:
                yield Figure(f"{kind}-{variant.name}-{size}-ns", median(variant.cost[kind]), "ns")
