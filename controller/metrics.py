"""What the controller counts and times, for Prometheus."""

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram

from outgate.api.gateway import EgressGateway

SECONDS = Histogram(
    "outgate_controller_reconcile_seconds",
    "Time that a pass took, its writes included.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
ERRORS = Counter(
    "outgate_controller_reconcile_errors_total", "Writes that failed.", ["kind", "error"]
)
WRITES = Counter("outgate_controller_writes_total", "Writes that were granted.", ["kind", "verb"])
LEADER = Gauge("outgate_controller_leader", "1 while this replica leads.")
OBJECTS = Gauge("outgate_controller_objects", "Objects that are watched.", ["kind"])
ADDRESSES = Gauge(
    "outgate_controller_addresses",
    "Egress addresses in use, by gateway, and whether a node holds them.",
    ["gateway", "held"],
)
MOVES = Counter(
    "outgate_controller_moves_total",
    "Addresses that another node holds than the one before, by gateway.",
    ["gateway"],
)


def count_addresses(gateways: Iterable[EgressGateway]) -> None:
    """Sets `ADDRESSES` to what the gateways' statuses show."""
    ADDRESSES.clear()
    for gateway in gateways:
        entries = gateway.status.addresses
        held = sum(bool(entry.node) for entry in entries)
        ADDRESSES.labels(gateway.metadata.name, "true").set(held)
        ADDRESSES.labels(gateway.metadata.name, "false").set(len(entries) - held)
