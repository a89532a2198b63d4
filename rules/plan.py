"""The whole ruleset of one node, from its view of the cluster: no packet of a matched pod gets out
but by its egress id's next hop, with its address.

An id is written as `id << 16`, as it stands in the conntrack mark.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from outgate.api.view import (
    DataPathSettings,
    HeldEgress,
    MeshNode,
    NodeView,
    PolicyView,
)
from outgate.rules.arriving import from_chain
from outgate.rules.chains import static_chains
from outgate.rules.classes import Keys, class_ids
from outgate.rules.intervals import ADDRESSES, inside_networks, pod_networks
from outgate.rules.leaving import node_chains
from outgate.rules.model import (
    Chain,
    Elements,
    Family,
    Key,
    Ruleset,
    Set,
    SetType,
    Table,
    Value,
)
from outgate.rules.numbers import policy_numbers
from outgate.rules.parts import ClassPart, class_parts
from outgate.rules.resolve import Version
from outgate.rules.source import via_chain
from outgate.rules.words import COUNTERS, LOCAL, NODE_COUNTERS

_VERSIONS: tuple[Version, ...] = (4, 6)

_SIZES = (4096, 65536, 1 << 20)
"""Of the sets that packets meet all the time. A set that outgrows its size is made anew, and its
table with it: seldom."""

_FAST = frozenset(
    f"{name}{version}" for name in ("class", "held", "source", "address_in") for version in (4, 6)
) | {"next_hop", "held_ids", "zones", "policy_out", "policy_in", "policy_dropped"}


@dataclass(frozen=True, slots=True)
class Planned:
    """A ruleset, what it is about, and the names that this has.

    classes: the id of each list of policies. numbers: that of each policy, in counters' keys.
    held: what its addresses are held for. parts: the classes, by family and id.
    """

    ruleset: Ruleset
    policies: Mapping[str, PolicyView] = field(default_factory=dict)
    held: tuple[HeldEgress, ...] = ()
    classes: Mapping[Keys, int] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)
    parts: Mapping[tuple[Version, int], ClassPart] = field(default_factory=dict)


def plan(view: NodeView, settings: DataPathSettings, *, before: Planned | None = None) -> Planned:
    """What this node's nftables have to hold; equal inputs give equal rulesets.

    before: the last plan. Its names go on where they can, and what has not changed since is not
    worked out again.
    """
    before = before or Planned(Ruleset({}))
    last = before.ruleset.tables["inet"].sets if "inet" in before.ruleset.tables else {}
    peers = mesh_peers(view)
    gateways = {peer.name: peer.mark for peer in peers if peer.mark}
    candidate = is_candidate(view.node)
    underlays = frozenset(peer.underlay for peer in peers)
    networks: dict[str, Set] = {}
    named: dict[str, str] = {}
    for version in _VERSIONS:
        named[f"inside{version}"], set_ = inside_networks(view.inside, underlays, settings, version)
        networks[named[f"inside{version}"]] = set_
        if settings.strict_start:
            named[f"pods{version}"], set_ = pod_networks(view.pod_networks, version)
            networks[named[f"pods{version}"]] = set_
    chains: dict[str, Chain] = dict(
        static_chains(settings, own=view.node.underlay, candidate=candidate, named=named)
    )
    # Every gateway's chain, in use or not: a move is then one map element.
    for mark in sorted(gateways.values()):
        chains[_via(mark)] = via_chain(mark, settings=settings)
    sources = peers if candidate else ()
    for peer in sources:
        chains[_from(peer.index)] = from_chain(peer.index)
    sets: dict[str, Set] = {
        **networks,
        "next_hop": Set(SetType(("mark",), "verdict"), _next_hops(view, gateways)),
        "held_ids": Set(SetType(("mark",)), {(_mark(held.id),): None for held in view.held}),
        "zones": Set(SetType(("mark",), "zone"), {(held.id,): held.id for held in view.held}),
        "source_node": Set(
            SetType(("ether_addr",), "verdict"),
            {(peer.mac,): f"goto {_from(peer.index)}" for peer in sources},
        ),
    }
    same = view.policies == before.policies
    numbers = before.numbers if same else policy_numbers(view.policies.values())
    if settings.counters:
        sets |= _counters(numbers, last if same else {})
    classes = class_ids((keys for keys in view.pods.values() if keys), before=before.classes)
    parts = class_parts(view, classes, numbers, before.parts, same=same)
    for (version, id_), part in parts.items():
        chains[_class(version, id_)] = part.chain
        sets |= part.maps
    for version in _VERSIONS:
        sets |= _family_sets(view, peers, classes, settings, version=version)
    sets |= {name: _sized(sets[name], last.get(name)) for name in _FAST & sets.keys()}
    tables: dict[Family, Table] = {
        "inet": Table("inet", chains=chains, sets=sets, counters=COUNTERS)
    }
    if settings.reply_route and candidate:
        tables["netdev"] = _node_table(peers, settings)
    return Planned(Ruleset(tables), view.policies, view.held, classes, numbers, parts)


def is_candidate(node: MeshNode) -> bool:
    """Whether the node may be a gateway node."""
    return node.mark != 0


def mesh_peers(view: NodeView) -> tuple[MeshNode, ...]:
    """Whom this node speaks to: a candidate to everybody, the others to candidates only."""
    return tuple(
        sorted(
            (
                peer
                for peer in view.peers
                if peer.name != view.node.name and (is_candidate(view.node) or is_candidate(peer))
            ),
            key=lambda peer: peer.index,
        )
    )


def _next_hops(view: NodeView, gateways: Mapping[str, int]) -> Elements:
    """An id whose holder is unknown, or no gateway node, has none: its packets are dropped."""
    elements: dict[Key, Value | None] = {}
    for id_, name in view.next_hops.items():
        if name == view.node.name:
            elements[_mark(id_),] = "goto here"
        elif name in gateways:
            elements[_mark(id_),] = f"goto {_via(gateways[name])}"
    return elements


def _counters(numbers: Mapping[str, int], last: Mapping[str, Set]) -> dict[str, Set]:
    """Sets whose elements, the numbers of policies, count what they match."""
    known = last.get("policy_out")
    counted = SetType(("mark",), counted=True)
    policies: Elements = (
        known.elements if known else {(LOCAL | number,): None for number in numbers.values()}
    )
    return {f"policy_{what}": Set(counted, policies) for what in ("out", "in", "dropped")}


def _family_sets(
    view: NodeView,
    peers: Iterable[MeshNode],
    classes: Mapping[Keys, int],
    settings: DataPathSettings,
    *,
    version: Version,
) -> Mapping[str, Set]:
    address = ADDRESSES[version]
    bound: dict[int, int] = {}
    for held in view.held:
        own = held.ipv4 if version == 4 else held.ipv6
        if own is not None:
            bound[_mark(held.id)] = int(own)
    underlays = {int(peer.underlay) for peer in peers if peer.underlay.version == version}
    sets = {
        f"class{version}": Set(
            SetType((address,), "verdict"), _pods(view, classes, settings, version=version)
        ),
        f"held{version}": Set(SetType(("mark",)), {(mark,): None for mark in bound}),
        f"address{version}": Set(
            SetType(("mark",), address), {(mark,): own for mark, own in bound.items()}
        ),
        f"bound{version}": Set(SetType(("mark", address)), dict.fromkeys(bound.items())),
        f"source{version}": Set(
            SetType((address,), counted=settings.counters),
            {(own,): None for own in bound.values()},
        ),
        f"underlay{version}": Set(SetType((address,)), {(each,): None for each in underlays}),
    }
    if settings.counters and is_candidate(view.node):
        counted = SetType(("mark",), counted=True)
        sets[f"address_in{version}"] = Set(counted, {(mark,): None for mark in bound})
    return sets


def _pods(
    view: NodeView, classes: Mapping[Keys, int], settings: DataPathSettings, *, version: Version
) -> Elements:
    elements: dict[Key, Value | None] = {}
    if settings.strict_start:
        known = (int(pod) for pod in view.known if pod.version == version)
        elements = {(pod,): "goto untouched" for pod in known}
    for own in view.egress_addresses if settings.source_check else ():
        if own.version == version:
            elements[int(own),] = "goto claimed"
    for pod, keys in view.pods.items():
        if keys and pod.version == version:
            elements[int(pod),] = f"goto {_class(version, classes[keys])}"
    return elements


def _sized(set_: Set, last: Set | None) -> Set:
    least = last.type.size if last else _SIZES[0]
    size = next(size for size in _SIZES if size >= max(len(set_.elements), least))
    return replace(set_, type=replace(set_.type, size=size))


def _node_table(peers: Iterable[MeshNode], settings: DataPathSettings) -> Table:
    return Table(
        "netdev",
        chains=node_chains(settings),
        sets={
            "mac": Set(
                SetType(("mark",), "ether_addr"), {(peer.index,): peer.mac for peer in peers}
            )
        },
        counters=NODE_COUNTERS,
    )


def _mark(id_: int) -> int:
    return id_ << 16


def _class(version: Version, id_: int) -> str:
    return f"class{version}_{id_:x}"


def _via(mark: int) -> str:
    return f"via_{mark:x}"


def _from(index: int) -> str:
    return f"from_{index:x}"
