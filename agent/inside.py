"""The cluster's networks, from EgressClusterInfo: all that is inside, and what pods' addresses are
from. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from outgate.api.clusterinfo import POD_SOURCES, EgressClusterInfo
from outgate.api.match import networks
from outgate.api.view import IPAddress, IPNetwork


@dataclass(frozen=True, slots=True)
class ClusterNetworks:
    """inside: all of them; pods: those that pods' addresses are from. problems: unreadable ones.

    single: the networks that are but one address, as nodes' are.
    """

    inside: frozenset[IPNetwork]
    pods: frozenset[IPNetwork]
    single: frozenset[IPAddress]
    problems: tuple[str, ...]


def cluster_networks(info: EgressClusterInfo) -> ClusterNetworks:
    """What the controller found, in as few networks as possible."""
    inside: list[IPNetwork] = []
    pods: list[IPNetwork] = []
    problems: list[str] = []
    for entry in info.status.networks:
        found = networks((entry.cidr,))
        if not found:
            problems.append(f"EgressClusterInfo: network {entry.cidr!r} can't be read")
        inside += found
        if entry.source in POD_SOURCES:
            pods += found
    # Before they are collapsed: two neighbours are one network then.
    single = frozenset(net.network_address for net in inside if net.num_addresses == 1)
    return ClusterNetworks(_collapsed(inside), _collapsed(pods), single, tuple(problems))


def _collapsed(found: Iterable[IPNetwork]) -> frozenset[IPNetwork]:
    v4: list[IPv4Network] = []
    v6: list[IPv6Network] = []
    for network in found:
        match network:
            case IPv4Network():
                v4.append(network)
            case IPv6Network():
                v6.append(network)
    return frozenset((*collapse_addresses(v4), *collapse_addresses(v6)))
