"""What the controller counts and times, for Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

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
