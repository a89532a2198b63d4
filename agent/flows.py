"""Which running flows no longer agree with the rules, so that they have to start anew: pure.

A flow keeps the decision of its first packet in its conntrack entry. When a policy, an address or
a holder changes, the entries of the pods concerned are compared with what the new rules would
decide; those that differ are deleted, and their next packet is decided afresh. Flows of other
pods, and flows to inside the cluster, are never touched.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from outgate.api.view import HeldEgress, IPAddress, IPNetwork, NodeView
from outgate.rules.resolve import Destinations, Version, resolve
from outgate.rules.words import LOCAL

FLOW_ID_MASK = 0xFFFF0000

_NEVER = tuple(
    [IPv4Network(text) for text in ("169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32")]
    + [IPv6Network(text) for text in ("fe80::/10", "ff00::/8")]
)
"""Destinations that the rules never touch, besides what is inside."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A conntrack entry.

    source: of the first packet. destination: where it really goes, after DNAT. bound: what the
    destination sees as the source. mark: the conntrack mark. handle: the edge's own, to delete it.
    """

    source: IPAddress
    destination: IPAddress
    bound: IPAddress
    mark: int
    handle: bytes = b""


@dataclass(frozen=True, slots=True)
class Purge:
    """What to look at after a change.

    marks: (value, mask): all entries with such a mark go, unseen. pods: the addresses whose
    entries are to be compared one by one. everybody: so are those of all others, for what comes
    through the tunnel with an id that this node no longer holds.
    """

    marks: tuple[tuple[int, int], ...]
    pods: frozenset[IPAddress]
    everybody: bool = False

    def __bool__(self) -> bool:
        return bool(self.marks or self.pods or self.everybody)


def purge(before: NodeView | None, after: NodeView, *, left: Iterable[IPAddress] = ()) -> Purge:
    """What a change of the view makes doubtful; without a view before, everything of ours.

    left: pods that a former agent's rules, found in the kernel, had a class for.
    """
    if before is None:
        return Purge((), frozenset((*after.pods, *left)), everybody=True)
    held, gone = _held(after), _held(before)
    over = {id_ for id_ in gone if held.get(id_) != gone[id_]}
    # What can't come back: flows of the tunnel and of local pods. Where an address moves between
    # the nodes of its gateway, the vip processes hand its flows over, and bind local pods' anew.
    # A node's own address has none: local pods' flows are bound for a tunnel that they no longer
    # take when it is to be this node's.
    come = held.keys() - gone.keys() - set(after.ids.values())
    marks = (
        *((id_ << 16, FLOW_ID_MASK) for id_ in sorted(over)),
        *((id_ << 16 | LOCAL, FLOW_ID_MASK | LOCAL) for id_ in sorted(come)),
    )
    stale = set() if before.policies == after.policies else _changed(before, after)
    pods = (
        address
        for address in before.pods.keys() | after.pods.keys()
        if before.pods.get(address) != after.pods.get(address)
        or (stale and not stale.isdisjoint(after.pods.get(address, ())))
    )
    return Purge(marks, frozenset(pods))


def _changed(before: NodeView, after: NodeView) -> set[str]:
    """The policies that are not what they were, by key."""
    return {
        key
        for key in before.policies.keys() | after.policies.keys()
        if before.policies.get(key) != after.policies.get(key)
    }


class Verdicts:
    """What the rules of a view decide for a flow; made once for many flows."""

    def __init__(self, view: NodeView) -> None:
        self._view = view
        self._held, self._here = _held(view), _here(view)
        # An index in the lower half: it came through the tunnel, and its source is another node's.
        self._indexes = frozenset(peer.index for peer in view.peers)
        self._inside = {
            version: _prefixes(net for net in view.inside if net.version == version)
            for version in (4, 6)
        }
        self._destinations: dict[tuple[tuple[str, ...], Version], Destinations] = {}

    def disagree(self, flow: Flow) -> bool:
        """Whether the flow goes on in another way than it would if it began now."""
        if self._untouchable(flow.destination):
            return False
        id_ = self.egress(flow.source, flow.destination)
        if flow.mark >> 16 != id_:
            return True
        if id_ == 0:
            return False
        held = self._here.get(id_)
        if held is None:
            return flow.bound != flow.source
        return flow.bound != (held.ipv4 if flow.source.version == 4 else held.ipv6)

    def orphaned(self, flow: Flow) -> bool:
        """Whether it came through the tunnel with an egress id that this node does not hold."""
        id_, index = flow.mark >> 16, flow.mark & 0xFFFF
        return id_ != 0 and index in self._indexes and id_ not in self._held

    def egress(self, source: IPAddress, destination: IPAddress) -> int:
        """The egress id for a new flow; 0 if no policy is about it."""
        keys = self._view.pods.get(source, ())
        if not keys:
            return 0
        version: Version = 4 if destination.version == 4 else 6
        if (keys, version) not in self._destinations:
            policies = (self._view.policies[key] for key in keys)
            self._destinations[keys, version] = resolve(policies, version=version)
        egress = self._destinations[keys, version].of(int(destination))
        return egress.id if egress else 0

    def _untouchable(self, destination: IPAddress) -> bool:
        if any(
            destination in network for network in _NEVER if network.version == destination.version
        ):
            return True
        number, bits = int(destination), destination.max_prefixlen
        return any(
            number >> (bits - length) in starts
            for length, starts in self._inside[destination.version].items()
        )


def stale(flows: Iterable[Flow], purge: Purge, view: NodeView) -> Iterator[Flow]:
    """The flows that have to go: those of the purge's pods that disagree, and orphans."""
    verdicts = Verdicts(view)
    for flow in flows:
        if flow.source in purge.pods:
            if verdicts.disagree(flow):
                yield flow
        elif purge.everybody and verdicts.orphaned(flow):
            yield flow


def _held(view: NodeView) -> Mapping[int, HeldEgress]:
    return {held.id: held for held in view.held}


def _here(view: NodeView) -> Mapping[int, HeldEgress]:
    """Those that local pods leave by from here."""
    return {held.id: held for held in view.held if view.next_hops.get(held.id) == view.node.name}


def _prefixes(networks: Iterable[IPNetwork]) -> Mapping[int, frozenset[int]]:
    """By prefix length, the leading bits: one look-up per length that occurs."""
    found: dict[int, set[int]] = {}
    for net in networks:
        bits = int(net.network_address) >> (net.max_prefixlen - net.prefixlen)
        found.setdefault(net.prefixlen, set()).add(bits)
    return {length: frozenset(starts) for length, starts in sorted(found.items())}
