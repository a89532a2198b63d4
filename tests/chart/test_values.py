"""What may be set, what is refused, and in which words."""

import json
from typing import Any

import pytest
import yaml
from chart.rendering import CHART, ROOT, HelmRefused, Rendered, helm, render

REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"feature.enableIPV4": True}, ["/feature", "'enableIPV4' not allowed"]),
    ({"features": {}}, ["'features' not allowed"]),
    ({"feature.enableIPv4": "yes"}, ["/feature/enableIPv4", "got string, want boolean"]),
    ({"feature.enableIPv4": False}, ["both false", "enable at least one"]),
    ({"feature.strictStart": "on"}, ["/feature/strictStart", "got string, want boolean"]),
    ({"feature.sourceCheck": "on"}, ["/feature/sourceCheck", "got string, want boolean"]),
    ({"datapath.acceptMark": "calico"}, ["acceptMark", "0x10000"]),
    ({"feature.vxlan.port": 70000}, ["/feature/vxlan/port", "65,535"]),
    ({"feature.vxlan.id": 0}, ["/feature/vxlan/id", "want 1"]),
    ({"vip.timing.lease": 0.4}, ["a silent node may still answer", "0.45712"]),
    ({"vip.timing.lease": 0.15}, ["one lost heartbeat", "at least 0.22"]),
    ({"vip.timing.withhold": 0.3}, ["must outlast freshness"]),
    ({"vip.timing.misses": 1}, ["/vip/timing/misses"]),
    ({"vip.partition": "Both"}, ["/vip/partition"]),
    ({"feature.tunnelIpv4Subnet": "198.18.192.0"}, ["IPv4 CIDR", "such as 198.18.192.0/18"]),
    ({"feature.tunnelIpv4Subnet": "198.18.192.0/30"}, ["/29 or shorter"]),
    ({"feature.tunnelIpv4Subnet": "fd00::/64"}, ["must be an IPv4 CIDR"]),
    ({"feature.tunnelIpv6Subnet": "198.18.192.0/18"}, ["must be an IPv6 CIDR"]),
    ({"feature.tunnelIpv6Subnet": "fd00::/126"}, ["/125 or shorter"]),
    ({"feature.tunnelDetectMethod": "eth0"}, ['"eth0"', "interface=eth0"]),
    ({"feature.tunnelDetectMethod": "interface="}, ["interface=NAME"]),
    ({"datapath.markMask": "ff"}, ['"ff"', "0x3f00"]),
    ({"datapath.markMask": "0x1ffff"}, ["of the low 16"]),
    ({"datapath.rulePriority": 32765}, ["/datapath/rulePriority", "32,764"]),
    ({"datapath.tableBase": 254}, ["/datapath/tableBase", "want 256"]),
    ({"image.pullPolicy": "Sometimes"}, ["/image/pullPolicy", "'Always', 'IfNotPresent'"]),
    ({"image.digest": "latest"}, ["/image/digest", "sha256:"]),
    ({"controller.replicas": 0}, ["/controller/replicas", "want 1"]),
    ({"controller.logLevel": "loud"}, ["/controller/logLevel", "'debug', 'info'"]),
    ({"controller.serviceCIDRs": ["10.96.0.0"]}, ["must be CIDRs", "10.96.0.0/12"]),
    ({"controller.heartbeatStale": 10}, ["longer than agent.heartbeat (10)"]),
    ({"agent.maxUnavailable": "all"}, ["/agent/maxUnavailable"]),
    ({"agent.tolerations": [{"operator": "Exist"}]}, ["/agent/tolerations/0/operator"]),
    ({"agent.resources.request": {}}, ["/agent/resources", "'request' not allowed"]),
    (
        {"metrics.serviceMonitor.enabled": True, "metrics.services": False},
        ["needs metrics.services"],
    ),
    ({"uninstall.timeoutSeconds": 1}, ["/uninstall/timeoutSeconds", "want 10"]),
]


@pytest.mark.parametrize(("values", "words"), REFUSED, ids=lambda each: json.dumps(each)[:60])
def test_a_wrong_value_is_refused_in_words(values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(HelmRefused) as refused:
        render(values)
    for word in words:
        assert word in str(refused.value)


ACCEPTED: list[dict[str, Any]] = [
    {"feature.enableIPv4": False, "feature.enableIPv6": True},
    {"feature.tunnelDetectMethod": "interface=bond0.100"},
    {"feature.tunnelIpv6Subnet": "fd00:1:2:3::/112"},
    {"datapath.markMask": "0x3f00"},
    {"datapath.markMask": 0xFF},
    {"agent.maxUnavailable": "25%"},
    {"agent.tolerations": []},
    {"image.digest": "sha256:" + "0" * 64},
    {"imagePullSecrets": ["registry"]},
    {"controller.affinity": {"nodeAffinity": {}}},
    {"controller.serviceCIDRs": ["10.96.0.0/12", "fd00:96::/112"]},
    {"metrics.serviceMonitor.enabled": True},
    {"global": {"anything": 1}},
]


@pytest.mark.parametrize("values", ACCEPTED, ids=json.dumps)
def test_a_right_value_is_taken(values: dict[str, Any]) -> None:
    assert render(values).of("DaemonSet")


def test_the_example_values_are_taken() -> None:
    example = ROOT / "examples" / "helm" / "values.yaml"
    assert helm("template", "o", str(CHART), "--kube-version=1.34.0", "--values", str(example))


def test_helm_finds_nothing_to_complain_about() -> None:
    assert "0 chart(s) failed" in helm("lint", str(CHART), "--strict", "--kube-version=1.34.0")


def test_values_and_schema_name_the_same_settings() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    def names(value: Any, node: dict[str, Any], path: str = "") -> None:
        if "properties" not in node:
            return
        assert node["additionalProperties"] is False, path
        assert set(value) == set(node["properties"]) - {"global"}, path
        for name, each in value.items():
            names(each, node["properties"][name], f"{path}/{name}")

    names(values, schema)


def test_chart_and_package_have_the_same_version(rendered: Rendered) -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    setup = (ROOT / "setup.cfg").read_text()
    assert f"version = {chart['appVersion']}\n" in setup
    images = {each.body["image"] for each in rendered.containers().values()}
    assert images == {f"outgate:{chart['appVersion']}"}


def test_a_digest_wins_over_the_tag() -> None:
    digest = "sha256:" + "1" * 64
    containers = render({"image.digest": digest, "image.tag": "x"}).containers()
    assert {each.body["image"] for each in containers.values()} == {f"outgate@{digest}"}
