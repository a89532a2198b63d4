"""What the vip process counts, as metrics of the agent: `outgate_vip_*`.

The counts are the process' own and begin anew with it, which Prometheus reckons with. While it is
away, `outgate_vip_up` is 0 and nothing else is told.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from outgate.vip.client import VipState
from outgate.vip.protocol import BOUNDS, Durations, GatewayNumbers, Numbers


class VipMetrics(Collector):
    """state: what the vip process last said; asked at each scrape."""

    def __init__(self, state: Callable[[], VipState]) -> None:
        self._state = state

    def describe(self) -> Iterable[Metric]:
        """Its metrics, without values."""
        numbers = Numbers((GatewayNumbers(""),))
        return _metrics(VipState(connected=False, settled=False, numbers=numbers))

    def collect(self) -> Iterable[Metric]:
        """Its metrics, as of now."""
        return _metrics(self._state())


def _metrics(state: VipState) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "outgate_vip_up", "1 while the vip process answers the agent.", int(state.connected)
    )
    if state.numbers is not None:
        yield from _process(state.numbers)
        yield from _gauges(state.numbers.gateways)
        yield from _counters(state.numbers.gateways)
        yield _took(state.numbers.gateways)


def _process(numbers: Numbers) -> Iterator[Metric]:
    if numbers.gateways:  # nobody else asks it
        yield GaugeMetricFamily(
            "outgate_vip_api_reachable",
            "1 while the vip process of a gateway node sees the API server.",
            int(numbers.api),
        )
        yield GaugeMetricFamily(
            "outgate_vip_realtime",
            "1 while the vip process of a gateway node runs in real time.",
            int(numbers.realtime),
        )
    yield CounterMetricFamily(
        "outgate_vip_heartbeats_sent",
        "Heartbeats to other gateway nodes, each counted for each of them.",
        numbers.sent,
    )
    yield CounterMetricFamily(
        "outgate_vip_heartbeats_received",
        "Heartbeats of other gateway nodes that were believed.",
        numbers.heard,
    )
    yield CounterMetricFamily(
        "outgate_vip_messages_unsent",
        "Messages to other nodes for which there was no address, or no key.",
        numbers.unsent,
    )
    yield _counter(
        "datagrams_refused",
        "Datagrams that were not believed, by reason.",
        ("reason",),
        (((reason,), count) for reason, count in numbers.refused.items()),
    )
    yield _counter(
        "lease_answers",
        "Requests about Leases, by what became of them: read, written, refused (it had been "
        "changed), failed.",
        ("answer",),
        (((answer,), count) for answer, count in numbers.leases.items()),
    )


def _gauges(gateways: Iterable[GatewayNumbers]) -> Iterator[Metric]:
    texts: Mapping[str, tuple[str, Callable[[GatewayNumbers], int]]] = {
        "held_addresses": ("Egress addresses that this node holds.", lambda one: one.held),
        "epoch": ("Highest epoch of a claim that this node knows.", lambda one: one.epoch),
        "failsafe": (
            "1 while the node holds addresses without the API server's or the other members' word.",
            lambda one: int(one.failsafe),
        ),
        "contested_addresses": (
            "Addresses that this node holds or wants, and somebody else answers for.",
            lambda one: one.contested,
        ),
        "return_path_failed_addresses": (
            "Addresses held here whose packets go elsewhere.",
            lambda one: one.lost,
        ),
        "return_path_unknown_addresses": (
            "Addresses held here of which it could not be found out where their packets go.",
            lambda one: one.unknown,
        ),
    }
    for name, (text, value) in texts.items():
        family = GaugeMetricFamily(f"outgate_vip_{name}", text, labels=("gateway",))
        for one in gateways:
            family.add_metric((one.gateway,), value(one))
        yield family


def _counters(gateways: Iterable[GatewayNumbers]) -> Iterator[Metric]:
    texts: Mapping[str, tuple[str, str, Callable[[GatewayNumbers], Mapping[str, int]]]] = {
        "claimed_addresses": (
            "Addresses that this node has taken: planned, after a crash, or free.",
            "kind",
            lambda one: one.claimed,
        ),
        "released_addresses": (
            "Addresses that this node has let go, by why.",
            "why",
            lambda one: one.released,
        ),
        "conflicts": (
            "Times that somebody else was heard for an address, while it was held or wanted.",
            "when",
            lambda one: one.conflicts,
        ),
        "return_path_checks": (
            "Checks whether packets to an address come here: works, failed, unknown.",
            "result",
            lambda one: one.returns,
        ),
    }
    for name, (text, label, counts) in texts.items():
        yield _counter(
            name,
            text,
            ("gateway", label),
            (((one.gateway, key), n) for one in gateways for key, n in counts(one).items()),
        )


def _took(gateways: Iterable[GatewayNumbers]) -> Metric:
    family = HistogramMetricFamily(
        "outgate_vip_takeover_seconds",
        "What taking addresses took: since the crashed holder was last heard, or since a planned "
        "move was asked for.",
        labels=("gateway", "kind"),
    )
    for one in gateways:
        for kind, durations in sorted(one.took.items()):
            family.add_metric((one.gateway, kind), list(_buckets(durations)), durations.total)
    return family


def _buckets(durations: Durations) -> Iterator[tuple[str, int]]:
    bounds = (*map(str, BOUNDS), "+Inf")
    yield from zip(bounds, accumulate(durations.buckets), strict=True)


def _counter(
    name: str,
    text: str,
    labels: tuple[str, ...],
    counts: Iterable[tuple[tuple[str, ...], int]],
) -> Metric:
    family = CounterMetricFamily(f"outgate_vip_{name}", text, labels=labels)
    for values, count in sorted(counts):
        family.add_metric(values, count)
    return family
