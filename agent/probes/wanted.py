"""Whose probes this node runs: those of the gateways whose selector takes it, eligible or not."""

from collections.abc import Iterable, Mapping

from outgate.agent.groups import UNFIT, eligible_of
from outgate.api.gateway import EgressGateway
from outgate.api.probes import HealthProbes


def wanted(gateways: Iterable[EgressGateway], *, node: str) -> Mapping[str, HealthProbes | None]:
    """By the gateway's name. A node that fails them goes on probing: else it never came back."""
    return {
        gateway.metadata.name: gateway.spec.health_probes
        for gateway in gateways
        if any(one.name == node for one in gateway.status.node_list)
    }


def failed(gateways: Iterable[EgressGateway], *, node: str) -> frozenset[str]:
    """The gateways that this node was unfit for when its agent was last heard of."""
    return frozenset(
        gateway.metadata.name
        for gateway in gateways
        if any(one.name == node and one.reason == UNFIT for one in gateway.status.node_list)
    )


def forgiven(gateways: Iterable[EgressGateway], *, node: str) -> frozenset[str]:
    """The gateways that this node is unfit for, and has to serve, as nobody is better."""
    gateways = tuple(gateways)
    nobody_better = {one.metadata.name for one in gateways if node in eligible_of(one)}
    return failed(gateways, node=node) & nobody_better
