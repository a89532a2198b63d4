"""How `kubectl get` shows our kinds: short names and printer columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Column:
    """One column. With `wide`, it is shown by `-o wide` only."""

    name: str
    path: str
    type: Literal["string", "integer", "boolean", "date"] = "string"
    wide: bool = False

    def rendered(self) -> dict[str, Any]:
        """The entry of `additionalPrinterColumns`."""
        entry: dict[str, Any] = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return {**entry, "priority": 1} if self.wide else entry


@dataclass(frozen=True, slots=True)
class Presentation:
    """What a kind is called for short, and its columns besides the name."""

    short_name: str
    columns: tuple[Column, ...]


_AGE = Column("Age", ".metadata.creationTimestamp", "date")


def _condition(type_: str, *, wide: bool = False) -> Column:
    return Column(type_, f'.status.conditions[?(@.type=="{type_}")].status', wide=wide)


_POLICY = (
    Column("Gateway", ".status.gateway"),
    Column("IPv4", ".status.eip.ipv4"),
    Column("IPv6", ".status.eip.ipv6"),
    Column("Node", ".status.node"),
    Column("Pods", ".status.matchedPods", "integer"),
    _condition("Ready"),
    Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', wide=True),
    _AGE,
)

_SLICE = (Column("Policy", r".metadata.labels.outgate\.dev/policy"), _AGE)

PRESENTATIONS: Mapping[str, Presentation] = {
    "EgressGateway": Presentation(
        "egw",
        (
            Column("Ready Nodes", ".status.readyNodes", "integer"),
            Column("IPv4", ".status.ipv4DefaultEIP"),
            Column("Free IPv4", ".status.ipUsage.ipv4Free", "integer"),
            Column("IPv6", ".status.ipv6DefaultEIP"),
            Column("Free IPv6", ".status.ipUsage.ipv6Free", "integer", wide=True),
            Column("Default", ".spec.clusterDefault", "boolean"),
            _condition("Ready"),
            _condition("Held"),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', wide=True),
            _AGE,
        ),
    ),
    "EgressPolicy": Presentation("egp", _POLICY),
    "EgressClusterPolicy": Presentation("egcp", _POLICY),
    "EgressTunnel": Presentation(
        "egt",
        (
            Column("Phase", ".status.phase"),
            Column("IPv4", ".spec.ipv4"),
            Column("IPv6", ".spec.ipv6"),
            Column("MAC", ".spec.mac"),
            Column("Mark", ".spec.mark", "integer"),
            Column("Index", ".spec.index", "integer", wide=True),
            Column("Underlay IPv4", ".status.underlay.ipv4", wide=True),
            Column("Underlay IPv6", ".status.underlay.ipv6", wide=True),
            Column("MTU", ".status.underlay.mtu", "integer", wide=True),
            Column("Heartbeat", ".status.lastHeartbeatTime", "date"),
            _AGE,
        ),
    ),
    "EgressEndpointSlice": Presentation("eges", _SLICE),
    "EgressClusterEndpointSlice": Presentation("egces", _SLICE),
    "EgressClusterInfo": Presentation(
        "egci",
        (
            Column("Pod CIDR", ".spec.autoDetect.podCIDR", "boolean", wide=True),
            Column("Node IP", ".spec.autoDetect.nodeIP", "boolean", wide=True),
            Column("Cluster IP", ".spec.autoDetect.clusterIP", "boolean", wide=True),
            _condition("Ready"),
            _AGE,
        ),
    ),
}
