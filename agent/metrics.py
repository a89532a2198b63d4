"""What the agent counts and times, for Prometheus."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["REGISTRY", "Drops"]

PROGRAMMED = Gauge("outgate_agent_programmed", "1 while the kernel has what the API asks for.")
APPLY_SECONDS = Histogram(
    "outgate_agent_apply_seconds",
    "Time that a pass took to bring the kernel to a changed view.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
APPLY_ERRORS = Counter("outgate_agent_apply_errors_total", "Passes that failed.")
MATCHED_PODS = Gauge("outgate_agent_matched_pods", "Addresses of local pods under a policy.")
POLICIES = Gauge("outgate_agent_policies", "Policies that a local pod is under.")
HELD_ADDRESSES = Gauge("outgate_agent_held_addresses", "Egress addresses that this node holds.")
FLOWS_RESTARTED = Counter(
    "outgate_agent_flows_restarted_total", "Running flows that a change made start anew."
)


class Drops(Collector):
    """Packets that the rules dropped, by reason: read from the kernel at each scrape."""

    def __init__(self, read: Callable[[], Mapping[str, int]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Its one metric, without asking the kernel."""
        return [_drops()]

    def collect(self) -> Iterable[Metric]:
        """Its one metric, as of now."""
        family = _drops()
        for reason, packets in sorted(self._read().items()):
            family.add_metric([reason], packets)
        return [family]


def _drops() -> CounterMetricFamily:
    return CounterMetricFamily(
        "outgate_agent_dropped_packets", "Packets that the rules dropped.", labels=["reason"]
    )
