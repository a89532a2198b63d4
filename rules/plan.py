"""The whole ruleset of one node, from its view of the cluster: no packet of a matched pod gets out
but by its egress id's next hop, with its address.

An id is written as `id << 16`, as it stands in the conntrack mark.
"""

from collections.abc import Iterable, Mapping

from outgate.api.view import DataPathSettings, IPNetwork, MeshNode, NodeView
from outgate.rules.chains import (
    COUNTERS,
    NODE_COUNTERS,
    from_chain,
    node_chains,
    static_chains,
    via_chain,
)
from outgate.rules.classes import Keys, class_ids
from outgate.rules.model import Chain, Elements, Field, Key, Ruleset, Set, SetType, Table, Value
from outgate.rules.resolve import Version, merge, resolve, span

_ADDRESS: Mapping[Version, Field] = {4: "ipv4_addr", 6: "ipv6_addr"}
_PROTOCOL: Mapping[Version, str] = {4: "ipv4", 6: "ipv6"}
_VERSIONS: tuple[Version, ...] = (4, 6)


def plan(view: NodeView, settings: DataPathSettings) -> Ruleset:
    """What this node's nftables have to hold; equal inputs give equal rulesets."""
    peers = mesh_peers(view)
    gateways = {peer.name: peer.mark for peer in peers if peer.mark}
    next_hops = _next_hops(view, gateways)
    chains: dict[str, Chain] = dict(static_chains(settings, candidate=is_candidate(view.node)))
    # Every gateway's chain, in use or not: a move is then one map element.
    for mark in sorted(gateways.values()):
        chains[_via(mark)] = via_chain(mark, settings=settings)
    sources = peers if is_candidate(view.node) else ()
    for peer in sources:
        chains[_from(peer.index)] = from_chain(peer.index)
    sets: dict[str, Set] = {
        "next_hop": Set(SetType(("mark",), "verdict"), next_hops),
        "source_node": Set(
            SetType(("ether_addr",), "verdict"),
            {(peer.mac,): f"goto {_from(peer.index)}" for peer in sources},
        ),
    }
    for version in _VERSIONS:
        sets |= _family_sets(view, peers, version=version)
    inet = Table("inet", chains=chains, sets=sets, counters=COUNTERS)
    if not (settings.reply_route and is_candidate(view.node)):
        return Ruleset({"inet": inet})
    return Ruleset({"inet": inet, "netdev": _node_table(peers, settings)})


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


def _family_sets(
    view: NodeView, peers: Iterable[MeshNode], *, version: Version
) -> Mapping[str, Set]:
    address = _ADDRESS[version]
    class_, egress = _policies(view, version=version)
    bound: dict[int, int] = {}
    for held in view.held:
        own = held.ipv4 if version == 4 else held.ipv6
        if own is not None:
            bound[_mark(held.id)] = int(own)
    return {
        f"class{version}": Set(SetType((address,), "classid"), class_),
        f"egress{version}": Set(SetType(("classid", address), "mark", interval=True), egress),
        f"inside{version}": Set(
            SetType(("nf_proto", address), interval=True), _inside(view.inside, version=version)
        ),
        f"held{version}": Set(SetType(("mark",)), {(mark,): None for mark in bound}),
        f"address{version}": Set(
            SetType(("mark",), address), {(mark,): own for mark, own in bound.items()}
        ),
        f"bound{version}": Set(SetType(("mark", address)), dict.fromkeys(bound.items())),
        f"underlay{version}": Set(
            SetType((address,)),
            {(int(peer.underlay),): None for peer in peers if peer.underlay.version == version},
        ),
    }


def _policies(view: NodeView, *, version: Version) -> tuple[Elements, Elements]:
    """The pods' classes, and the classes' destinations."""
    ids = class_ids(keys for keys in view.pods.values() if keys)
    classes: dict[Key, Value | None] = {
        (int(pod),): ids[keys] for pod, keys in view.pods.items() if keys and pod.version == version
    }
    used = set(classes.values())
    egress: dict[Key, Value | None] = {}
    for keys, id_ in ids.items():
        if id_ in used:
            egress |= _destinations(view, keys, id_, version=version)
    return classes, egress


def _destinations(view: NodeView, keys: Keys, id_: int, *, version: Version) -> Elements:
    ranges = resolve((view.policies[key] for key in keys), version=version)
    return {(id_, (each.first, each.last)): _mark(each.id) for each in ranges}


def _inside(networks: Iterable[IPNetwork], *, version: Version) -> Elements:
    # Disjoint: the kernel refuses a network that another one covers.
    spans = merge(span(network) for network in networks if network.version == version)
    return {(_PROTOCOL[version], each): None for each in spans}


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


def _via(mark: int) -> str:
    return f"via_{mark:x}"


def _from(index: int) -> str:
    return f"from_{index:x}"
