"""Each node's place in the mesh: index, MAC, tunnel addresses, mark; never shared by two. Pure.

What a tunnel's spec has is kept while it is valid and nobody older has it too; what is missing is
chosen by hash of the node's name, going on to the next free value. So the choice is the same on
every run, and no other node's changes when one comes or goes.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeVar

from outgate.api.tunnel import EgressTunnel, EgressTunnelSpec
from outgate.api.view import INDEX_MAX, TUNNEL_SUBNET4, TUNNEL_SUBNET6

MAC_PROBES = 64  # 2^40 MACs: one probe is nearly always enough

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """Where tunnel addresses come from (None: not this family), and how many marks there are.

    `mark_max` is the highest ordinal of a node's mark; the one above it is the reply mark.
    """

    subnet4: IPv4Network | None = TUNNEL_SUBNET4
    subnet6: IPv6Network | None = TUNNEL_SUBNET6
    mark_max: int = 254


@dataclass(frozen=True, slots=True)
class Mesh:
    """The spec of each node's tunnel; and of the nodes that lack something, what and why."""

    specs: Mapping[str, EgressTunnelSpec]
    short: Mapping[str, str]
    unmarked: Mapping[str, str]


def allocate_tunnels(
    nodes: Collection[str],
    *,
    candidates: Collection[str],
    tunnels: Iterable[EgressTunnel],
    settings: MeshSettings,
) -> Mesh:
    """A tunnel for every node, and a mark for every candidate.

    What a tunnel shows stays taken for as long as the object is there, even if its node is gone or
    is to have another value: other nodes may still act on it.
    """
    alive = set(nodes)
    marked = set(candidates) & alive
    old = sorted(
        tunnels, key=lambda tunnel: (tunnel.metadata.creation_timestamp, tunnel.metadata.name)
    )
    specs = {tunnel.metadata.name: tunnel.spec for tunnel in old}
    order = [name for name in specs if name in alive] + sorted(alive - specs.keys())

    index = _settle(
        order,
        kept={name: spec.index for name, spec in specs.items()},
        valid=lambda value: 1 <= value <= INDEX_MAX,
        probe=lambda name: _numbers(name, 1, INDEX_MAX),
    )
    mac = _settle(
        order,
        kept={name: spec.mac for name, spec in specs.items()},
        valid=lambda value: value.startswith("02:") and value != "02:00:00:00:00:00",
        probe=_macs,
    )
    ipv4 = _addresses(order, {n: s.ipv4 for n, s in specs.items()}, settings.subnet4)
    ipv6 = _addresses(order, {n: s.ipv6 for n, s in specs.items()}, settings.subnet6)
    mark = _settle(
        [name for name in order if name in marked],
        kept={name: spec.mark for name, spec in specs.items()},
        valid=lambda value: 1 <= value <= settings.mark_max,
        probe=lambda name: _numbers(name, 1, settings.mark_max),
    )

    made: dict[str, EgressTunnelSpec] = {}
    short: dict[str, str] = {}
    for name in sorted(alive):
        lacking = [
            f"no free {what}"
            for what, has in (("index", name in index), ("MAC", name in mac))
            if not has
        ]
        lacking += [
            f"all tunnel addresses of {subnet} are in use: set a larger tunnel subnet"
            for subnet, has in ((settings.subnet4, name in ipv4), (settings.subnet6, name in ipv6))
            if subnet is not None and not has
        ]
        if lacking:
            short[name] = "; ".join(lacking)
        if name in index and name in mac:
            made[name] = EgressTunnelSpec(
                index=index[name],
                mac=mac[name],
                ipv4=ipv4.get(name, ""),
                ipv6=ipv6.get(name, ""),
                mark=mark.get(name, 0),
            )
    why = (
        f"all {settings.mark_max} marks of gateway nodes are in use: select fewer nodes, "
        "or set a wider mark mask"
    )
    unmarked = dict.fromkeys(sorted(marked - mark.keys()), why)
    return Mesh(made, short, unmarked)


def _settle(
    order: Iterable[str],
    *,
    kept: Mapping[str, T],
    valid: Callable[[T], bool],
    probe: Callable[[str], Iterable[T]],
) -> dict[str, T]:
    """A value for each name: first those that keep theirs, in order, then new ones.

    Nothing that is shown in `kept` is given to another, whoever it belongs to.
    """
    settled: dict[str, T] = {}
    owned: set[T] = set()
    names = list(order)
    for name in names:
        if name in kept and valid(kept[name]) and kept[name] not in owned:
            settled[name] = kept[name]
            owned.add(kept[name])
    taken = owned.union(kept.values())
    for name in names:
        if name in settled:
            continue
        value = next((value for value in probe(name) if value not in taken), None)
        if value is not None:
            settled[name] = value
            taken.add(value)
    return settled


def _addresses(
    order: Iterable[str], kept: Mapping[str, str], subnet: IPv4Network | IPv6Network | None
) -> dict[str, str]:
    """Addresses out of the subnet, but for the network's own and the placeholder of replies."""
    if subnet is None:
        return {}
    make = IPv4Address if isinstance(subnet, IPv4Network) else IPv6Address
    # The placeholder is the last usable address: the last but one of an IPv4 subnet. Of an IPv6
    # subnet both are left out, so that it does not matter who reads "usable" in which way.
    first, last = int(subnet.network_address) + 1, int(subnet.broadcast_address) - 2

    def valid(text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        return isinstance(address, make) and first <= int(address) <= last and str(address) == text

    return _settle(
        order,
        kept=kept,
        valid=valid,
        probe=lambda name: (str(make(number)) for number in _numbers(name, first, last)),
    )


def _numbers(name: str, first: int, last: int) -> Iterable[int]:
    """All numbers from first to last, from one that the name decides on, going round."""
    size = last - first + 1
    if size <= 0:
        return
    start = int.from_bytes(blake2b(name.encode(), digest_size=16).digest(), "big") % size
    yield from range(first + start, last + 1)
    yield from range(first, first + start)


def _macs(name: str) -> Iterable[str]:
    for attempt in range(MAC_PROBES):
        digest = blake2b(f"{name}\0{attempt}".encode(), digest_size=5).digest()
        if any(digest):  # 02:00:00:00:00:00 is the placeholder of replies
            yield "02:" + digest.hex(":")
