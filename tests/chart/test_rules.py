"""The alerts and the list of metrics: of what the processes really export."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from chart.rendering import CHART, HelmRefused, render
from prometheus_client import REGISTRY
from prometheus_client.core import Metric

from outgate.agent import metrics as agent_metrics
from outgate.agent.traffic import Traffic
from outgate.agent.vip_metrics import VipMetrics
from outgate.controller import metrics as controller_metrics
from outgate.vip.client import VipState

VIP = VipMetrics(lambda: VipState(connected=False, settled=False))
TRAFFIC = agent_metrics.TrafficMetrics(lambda: Traffic({}), dict)
COUNTERS = {"counter": "_total"}


def names(metrics: Iterable[Metric]) -> Iterator[str]:
    for metric in metrics:
        yield metric.name + COUNTERS.get(metric.type, "")


def rules() -> list[dict[str, Any]]:
    rendered = render({"metrics.rules": {"enabled": True, "labels": {"release": "prometheus"}}})
    (found,) = rendered.of("PrometheusRule").values()
    assert found["metadata"]["labels"]["release"] == "prometheus"
    (group,) = found["spec"]["groups"]
    return list(group["rules"])


def test_alerts_are_of_metrics_that_there_are() -> None:
    assert controller_metrics.LEADER is not None  # imported, so that they are in the registry
    exported = {*names(REGISTRY.collect()), *names(VIP.describe()), *names(TRAFFIC.describe())}
    for rule in rules():
        asked = set(re.findall(r"outgate_\w+", rule["expr"]))
        assert asked, rule["alert"]
        assert asked <= exported, rule["alert"]


def test_each_alert_has_a_name_of_its_own_a_severity_and_words() -> None:
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found)
    for rule in found:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"].keys() == {"summary", "description"}
        labels = re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
        assert all(label in rule["expr"] for label in labels), "lost by the aggregation"


def test_without_being_asked_for_there_are_none() -> None:
    assert not render().of("PrometheusRule")
    with pytest.raises(HelmRefused, match="rules"):
        render({"metrics.rules": {"wanted": True}})


def test_the_readme_lists_what_the_vip_process_is_said_of() -> None:
    text = (CHART / "README.md").read_text()
    assert set(re.findall(r"outgate_vip_\w+\b", text)) - {"outgate_vip_"} == set(
        names(VIP.describe())
    )
