"""What the probes count and time, for Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

UP = Gauge("outgate_agent_probe_up", "1 if the target answered its last probe.", ["kind", "target"])
FAILURES = Counter(
    "outgate_agent_probe_failures_total",
    "Probes that were not answered in time, or with an error.",
    ["kind", "target"],
)
SECONDS = Histogram(
    "outgate_agent_probe_seconds",
    "Time until a target answered.",
    ["kind"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
FIT = Gauge(
    "outgate_agent_probe_fit",
    "1 while the gateway's health probes let this node hold its addresses.",
    ["gateway"],
)
