"""The mesh as the EgressTunnels give it: this node's place in it, and its peers'."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from outgate.agent.egress import address_of
from outgate.api.tunnel import EgressTunnel
from outgate.api.view import INDEX_MAX, IPAddress, MeshNode

MAC = re.compile(r"^02(:[0-9a-f]{2}){5}$")


@dataclass(frozen=True, slots=True)
class LocalNode:
    """What this node knows about itself without the API.

    name: of the Node object. ipv4, ipv6: its underlay addresses. mark_mask: our bits of the mark.
    """

    name: str
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None
    mark_mask: int

    @property
    def underlay(self) -> IPAddress | None:
        """The address that the mesh uses here: IPv4 if there is one, since all must agree."""
        return self.ipv4 or self.ipv6


@dataclass(frozen=True, slots=True)
class Mesh:
    """This node (None: the controller has not given it a place yet) and the others, by name."""

    node: MeshNode | None
    peers: tuple[MeshNode, ...]
    problems: tuple[str, ...]


def mesh_of(tunnels: Iterable[EgressTunnel], *, local: LocalNode) -> Mesh:
    """Reads all tunnels. A peer that can't be used is left out and named, unless it is just young.

    What must not be shared (index, MAC, tunnel address, mark) belongs to the first by name, after
    this node itself: two owners of one would make the kernel refuse them all.
    """
    here: MeshNode | None = None
    peers: list[MeshNode] = []
    problems: list[str] = []
    taken: set[object] = set()
    own_first = sorted(
        tunnels, key=lambda one: (one.metadata.name != local.name, one.metadata.name)
    )
    for tunnel in own_first:
        name = tunnel.metadata.name
        if name == local.name:
            underlay = local.underlay
        elif isinstance(local.underlay, IPv4Address):
            underlay = address_of(tunnel.status.underlay.ipv4)
        else:
            underlay = address_of(tunnel.status.underlay.ipv6)
        if underlay is None:
            continue  # its agent has not reported yet, or has no address of the mesh's family
        problem = _malformed(tunnel)
        if problem:
            problems.append(f"EgressTunnel {name}: {problem}")
            continue
        node = _mesh_node(tunnel, underlay, mask=local.mark_mask)
        keys = {("index", node.index), ("mac", node.mac)}
        keys |= {("address", address) for address in (node.tunnel4, node.tunnel6) if address}
        keys |= {("mark", node.mark)} if node.mark else set()
        if keys & taken:
            shared = ", ".join(sorted(f"{kind} {value}" for kind, value in keys & taken))
            problems.append(f"EgressTunnel {name}: {shared} is given to another node too")
            continue
        taken |= keys
        if name == local.name:
            here = node
        else:
            peers.append(node)
    return Mesh(here, tuple(peers), tuple(problems))


def shifted_mark(ordinal: int, *, mask: int) -> int:
    """The ordinal's mark in its place under the mask, 0 if it does not fit.

    All bits of the mask are the reply mark, no node's.
    """
    mark = ordinal << ((mask & -mask).bit_length() - 1)
    return mark if 0 < mark < mask and mark & ~mask == 0 else 0


def _mesh_node(tunnel: EgressTunnel, underlay: IPAddress, *, mask: int) -> MeshNode:
    tunnel4, tunnel6 = address_of(tunnel.spec.ipv4), address_of(tunnel.spec.ipv6)
    return MeshNode(
        name=tunnel.metadata.name,
        index=tunnel.spec.index,
        mark=shifted_mark(tunnel.spec.mark, mask=mask),
        mac=tunnel.spec.mac,
        underlay=underlay,
        tunnel4=tunnel4 if isinstance(tunnel4, IPv4Address) else None,
        tunnel6=tunnel6 if isinstance(tunnel6, IPv6Address) else None,
    )


def _malformed(tunnel: EgressTunnel) -> str:
    spec = tunnel.spec
    if not 1 <= spec.index <= INDEX_MAX:
        return f"index {spec.index} is not in 1..{INDEX_MAX}"
    if not MAC.match(spec.mac):
        return f"mac {spec.mac!r} is none of ours"
    for text, version in ((spec.ipv4, 4), (spec.ipv6, 6)):
        address = address_of(text)
        if text and (address is None or address.version != version):
            return f"ipv{version} {text!r} is no IPv{version} address"
    if not (spec.ipv4 or spec.ipv6):
        return "no tunnel address"
    return ""
