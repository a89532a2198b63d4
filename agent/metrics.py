"""What the agent counts and times, for Prometheus."""

import threading
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from outgate.agent.ports import ALARM, PORTS, PortUse
from outgate.agent.traffic import Traffic
from outgate.api.view import IPAddress
from outgate.vip.protocol import Report

__all__ = ["REGISTRY", "TrafficMetrics"]

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

    def seen(self, report: Report | None) -> None:
        """Its last report."""
        if report is None:
            return
        repaired = report.repaired
        if self._last is not None:
            # Fewer: it began anew.
            more = repaired - self._last if repaired >= self._last else repaired
            DRIFT.labels("addresses").inc(more)
        self._last = repaired


class Total:
    """Goes on where what it is told begins anew. For one thread at a time."""

    def __init__(self) -> None:
        self._last = self._before = 0

    def of(self, counted: int) -> int:
        """All in all, if so much has been counted by now."""
        if counted < self._last:
            self._before += self._last
        self._last = counted
        return self._before + counted


class TrafficMetrics(Collector):
    """What the rules counted, and the ports in use: read from the kernel at each scrape."""

    def __init__(
        self,
        traffic: Callable[[], Traffic],
        ports: Callable[[], Mapping[tuple[IPAddress, str], PortUse]],
    ) -> None:
        self._traffic = traffic
        self._ports = ports
        self._lock = threading.Lock()
        self._totals: dict[tuple[str, ...], Total] = {}

    def describe(self) -> Iterable[Metric]:
        """Its metrics, without asking the kernel."""
        return [*_families().values(), *_port_families().values()]

    def collect(self) -> Iterable[Metric]:
        """Its metrics, as of now."""
        traffic, families = self._traffic(), _families()
        with self._lock:
            for reason, count in sorted(traffic.dropped.items()):
                self._add(families["dropped_packets"], (reason,), count.packets)
            for policy, count in sorted(traffic.policies_dropped.items()):
                self._add(families["policy_dropped_packets"], (policy,), count.packets)
            for sort, counts in (("policy", traffic.policies), ("address", traffic.addresses)):
                for labels, count in sorted(counts.items()):
                    self._add(families[f"{sort}_packets"], labels, count.packets)
                    self._add(families[f"{sort}_bytes"], labels, count.bytes)
        yield from families.values()
        yield from self._port_metrics()

    def _add(self, family: CounterMetricFamily, labels: tuple[str, ...], counted: int) -> None:
        total = self._totals.setdefault((family.name, *labels), Total())
        family.add_metric(labels, total.of(counted))

    def _port_metrics(self) -> Iterable[Metric]:
        families = _port_families()
        for (address, protocol), use in sorted(self._ports().items(), key=lambda one: str(one[0])):
            labels = (str(address), protocol)
            families["used"].add_metric(labels, use.used)
            families["limit"].add_metric(labels, PORTS)
            families["alarm"].add_metric(labels, use.alarming)
        return families.values()


def _families() -> Mapping[str, CounterMetricFamily]:
    texts = {
        "dropped_packets": ("Packets that the rules dropped.", ("reason",)),
        "policy_dropped_packets": (
            "Packets dropped because the policy's gateway was away.",
            ("policy",),
        ),
        "policy_packets": ("Packets of pods of this node, by policy.", ("policy", "direction")),
        "policy_bytes": ("Bytes of pods of this node, by policy.", ("policy", "direction")),
        "address_packets": (
            "Packets that left with, or came back for, an address held here.",
            ("address", "direction"),
        ),
        "address_bytes": (
            "Bytes that left with, or came back for, an address held here.",
            ("address", "direction"),
        ),
    }
    return {
        name: CounterMetricFamily(f"outgate_agent_{name}", text, labels=labels)
        for name, (text, labels) in texts.items()
    }


def _port_families() -> Mapping[str, GaugeMetricFamily]:
    texts = {
        "used": "Ports in use of an address held here, towards its busiest destination.",
        "limit": "Ports that an address has towards one destination.",
        "alarm": f"1 while more than {ALARM:.0%} of them are in use: new flows may soon fail.",
    }
    return {
        name: GaugeMetricFamily(f"outgate_agent_snat_ports_{name}", text, labels=_PORT_LABELS)
        for name, text in texts.items()
    }


_PORT_LABELS = ("address", "protocol")
