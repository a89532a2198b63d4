"""Interval sets: disjoint spans, named by their content, since they never change.

See `outgate.rules.diff` for the reason. Pure.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from ipaddress import ip_network

from outgate.api.view import DataPathSettings, IPAddress, IPNetwork
from outgate.rules.model import Elements, Field, Set, SetType, Span
from outgate.rules.resolve import Version, merge, span

ADDRESSES: Mapping[Version, Field] = {4: "ipv4_addr", 6: "ipv6_addr"}
PROTOCOLS: Mapping[Version, str] = {4: "ipv4", 6: "ipv6"}

UNTOUCHABLE = tuple(
    map(
        ip_network,
        ("169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "fe80::/10", "ff00::/8"),
    )
)
"""Link-local, multicast and broadcast: never touched, like what is inside."""


@lru_cache(maxsize=4)
def inside_networks(
    inside: frozenset[IPNetwork],
    underlays: frozenset[IPAddress],
    settings: DataPathSettings,
    version: Version,
) -> tuple[str, Set]:
    """All that is not the outside: a set, and its name.

    The mesh is in it too: the way of what is untouched looks at that.
    """
    mesh = settings.tunnel_subnet4 if version == 4 else settings.tunnel_subnet6
    networks = (*inside, *UNTOUCHABLE, *((mesh,) if mesh else ()))
    spans = [
        *(span(network) for network in networks if network.version == version),
        *((int(each), int(each)) for each in underlays if each.version == version),
    ]
    return _immutable(f"inside{version}", spans, version)


@lru_cache(maxsize=4)
def pod_networks(networks: frozenset[IPNetwork], version: Version) -> tuple[str, Set]:
    """Where pods' addresses are from: a set, and its name."""
    spans = [span(network) for network in networks if network.version == version]
    return _immutable(f"pods{version}", spans, version)


def _immutable(name: str, spans: Iterable[Span], version: Version) -> tuple[str, Set]:
    # Disjoint: the kernel refuses a network that another one covers.
    elements: Elements = {(PROTOCOLS[version], each): None for each in merge(spans)}
    type_ = SetType(("nf_proto", ADDRESSES[version]), interval=True)
    return named_by_content(name, elements), Set(type_, elements)


def named_by_content(name: str, elements: Elements) -> str:
    """A name of this content alone: another content is another set (see `outgate.rules.diff`)."""
    digest = blake2b(repr(sorted(elements.items())).encode(), digest_size=4)
    return f"{name}_{digest.hexdigest()}"
