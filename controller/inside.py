"""The networks inside the cluster, and where each was found: never touched by any policy. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import ip_network

import msgspec

from outgate.api.clusterinfo import NETWORKS_MAX, AutoDetect, ClusterNetwork, Source
from outgate.api.core import CalicoIPPool, ConfigMap, Node, ServiceCIDR

FLANNEL_CONFIG = "kube-flannel-cfg"
FLANNEL_NAMESPACES = ("kube-flannel", "kube-system")
FLANNEL_KEY = "net-conf.json"


class _FlannelNetConf(msgspec.Struct, frozen=True, rename="pascal"):
    """The part of Flannel's net-conf.json that we read."""

    network: str = ""
    ipv6_network: str = msgspec.field(default="", name="IPv6Network")


_FLANNEL = msgspec.json.Decoder(_FlannelNetConf)


def inside_networks(
    *,
    detect: AutoDetect,
    extra: Iterable[str],
    nodes: Iterable[Node],
    service_cidrs: Iterable[ServiceCIDR],
    config_maps: Mapping[tuple[str, str], ConfigMap],
    calico_pools: Iterable[CalicoIPPool],
    configured_service_cidrs: Iterable[str] = (),
) -> tuple[tuple[ClusterNetwork, ...], tuple[str, ...]]:
    """What was found, sorted and each once, and what could not be read.

    `configured_service_cidrs` count only where the API has no ServiceCIDR objects.
    """
    found: set[tuple[str, Source, str]] = set()
    problems: list[str] = []

    def add(cidrs: Iterable[str], source: Source, name: str) -> None:
        for cidr in cidrs:
            try:
                found.add((_network(cidr), source, name))
            except ValueError:
                problems.append(f"{source} {name}: {cidr!r} is not a CIDR".replace("  ", " "))

    for node in nodes:
        if detect.pod_cidr:
            add(node.spec.pod_cidrs, "NodePodCIDR", node.metadata.name)
        if detect.node_ip:
            add(_addresses(node), "NodeAddress", node.metadata.name)
    if detect.cluster_ip:
        ranges = list(service_cidrs)
        for cidr in ranges:
            add(cidr.spec.cidrs, "ServiceCIDR", cidr.metadata.name)
        if not ranges:
            add(configured_service_cidrs, "ServiceCIDR", "")
    if detect.pod_cidr:
        for namespace, config in _flannel(config_maps):
            networks = flannel_networks(config)
            if networks is None:
                problems.append(f"Flannel {namespace}/{FLANNEL_CONFIG}: {FLANNEL_KEY} is no JSON")
            add(networks or (), "Flannel", f"{namespace}/{FLANNEL_CONFIG}")
        for pool in calico_pools:
            add((pool.spec.cidr,), "Calico", pool.metadata.name)
    add(extra, "Extra", "")

    kept = sorted(found)
    if len(kept) > NETWORKS_MAX:
        problems.append(f"{len(kept)} networks were found, only {NETWORKS_MAX} are kept")
        kept = sorted(sorted(kept, key=_by_size)[:NETWORKS_MAX])
    return (
        tuple(ClusterNetwork(cidr=cidr, source=source, name=name) for cidr, source, name in kept),
        tuple(sorted(problems)),
    )


def flannel_networks(config: ConfigMap) -> tuple[str, ...] | None:
    """The pod networks of Flannel's configuration; None if it cannot be read."""
    try:
        parsed = _FLANNEL.decode(config.data.get(FLANNEL_KEY, "{}"))
    except msgspec.MsgspecError:
        return None
    return tuple(filter(None, (parsed.network, parsed.ipv6_network)))


def _flannel(
    config_maps: Mapping[tuple[str, str], ConfigMap],
) -> Iterator[tuple[str, ConfigMap]]:
    for namespace in FLANNEL_NAMESPACES:
        config = config_maps.get((namespace, FLANNEL_CONFIG))
        if config is not None:
            yield namespace, config


def _addresses(node: Node) -> Iterator[str]:
    for entry in node.status.addresses:
        if entry.type in ("InternalIP", "ExternalIP"):
            yield entry.address


@lru_cache(maxsize=65536)
def _network(cidr: str) -> str:
    return str(ip_network(cidr.strip(), strict=False))


def _by_size(entry: tuple[str, Source, str]) -> int:
    """The largest networks first: they are what must not be lost."""
    network = ip_network(entry[0])
    return network.prefixlen - network.max_prefixlen
