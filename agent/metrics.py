"""What the agent counts and times, for Prometheus."""

import threading
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
DRIFT = Counter(
    "outgate_agent_drift_total",
    "Times that others had changed what was programmed, and it was repaired.",
    labelnames=["what"],
)
for _what in ("addresses", "mesh", "rules"):
    DRIFT.labels(_what)  # there from the start, as 0


class Repairs:
    """Counts the addresses that the vip process put back, from its own count of them.

    For one thread. What it did before this agent began was told by the agent before.
    """

    def __init__(self) -> None:
        self._last: int | None = None

    def seen(self, repaired: int | None) -> None:
        """It says so many by now; None if it says nothing."""
        if repaired is None:
            return
        if self._last is not None:
            # Fewer: it began anew.
            more = repaired - self._last if repaired >= self._last else repaired
            DRIFT.labels("addresses").inc(more)
        self._last = repaired


class Drops(Collector):
    """Packets that the rules dropped, by reason: read from the kernel at each scrape.

    The kernel's counters begin anew with a table that is made anew; these go on.
    """

    def __init__(self, read: Callable[[], Mapping[str, int]]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._last: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def describe(self) -> Iterable[Metric]:
        """Its one metric, without asking the kernel."""
        return [_drops()]

    def collect(self) -> Iterable[Metric]:
        """Its one metric, as of now."""
        family = _drops()
        with self._lock:
            for reason, packets in sorted(self._read().items()):
                last = self._last.get(reason, 0)
                if packets < last:
                    self._before[reason] = self._before.get(reason, 0) + last
                self._last[reason] = packets
                family.add_metric([reason], self._before.get(reason, 0) + packets)
        return [family]


def _drops() -> CounterMetricFamily:
    return CounterMetricFamily(
        "outgate_agent_dropped_packets", "Packets that the rules dropped.", labels=["reason"]
    )
