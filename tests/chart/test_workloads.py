"""What the processes are told, and how they are rolled out."""

from typing import Any

import click
import pytest
from chart.rendering import Rendered, render

from outgate.agent.__main__ import main as agent
from outgate.cli.uninstall import Release
from outgate.cli.uninstall import uninstall as uninstall_command
from outgate.controller.__main__ import main as controller
from outgate.kube.selection import matcher
from outgate.vip.__main__ import main as vip
from outgate.vip.config import CHOSEN
from outgate.vip.engine import DEFAULTS

COMMANDS = {"agent": agent, "cleanup": agent, "controller": controller, "vip": vip}


def parsed(name: str, rendered: Rendered, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings that a process makes of its environment."""
    environment = rendered.containers()[name].environment
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("NODE_NAME", "n1")
    context = COMMANDS[name].make_context(name, [], **COMMANDS[name].context_settings)
    return context.params


@pytest.mark.parametrize("name", COMMANDS)
def test_every_variable_is_one_that_the_process_reads(name: str, rendered: Rendered) -> None:
    command = COMMANDS[name]
    prefix = command.context_settings["auto_envvar_prefix"]
    known = {f"{prefix}_{option.name}".upper() for option in command.params if option.name}
    for option in command.params:
        if isinstance(option, click.Option) and isinstance(option.envvar, str):
            known.add(option.envvar)
    assert set(rendered.containers()[name].environment) <= known


def test_an_agent_is_told_what_the_values_say(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = render(
        {
            "feature.enableIPv6": True,
            "feature.enableIPv4": False,
            "feature.tunnelIpv6Subnet": "fd00:1::/64",
            "feature.tunnelDetectMethod": "interface=eth1",
            "feature.enableGatewayReplyRoute": False,
            "feature.counters": False,
            "feature.strictStart": True,
            "feature.sourceCheck": False,
            "feature.vxlan": {"id": 5, "port": 4789},
            "datapath": {
                "markMask": "0xf0",
                "acceptMark": "0x10000",
                "tableBase": 9000,
                "rulePriority": 77,
            },
            "agent.heartbeat": 4.5,
            "agent.resync": 1.5,
            "agent.httpPort": 9999,
            "agent.logLevel": "debug",
        }
    )
    expected = {
        "source_check": False,
        "accept_mark": "0x10000",
        "tunnel_subnet4": "none",
        "tunnel_subnet6": "fd00:1::/64",
        "tunnel_detect_method": "interface=eth1",
        "reply_route": False,
        "counters": False,
        "strict_start": True,
        "vxlan_id": 5,
        "vxlan_port": 4789,
        "mark_mask": "0xf0",
        "table_base": 9000,
        "rule_priority": 77,
        "heartbeat": 4.5,
        "resync": 1.5,
        "http_port": 9999,
        "log_level": "debug",
        "node_name": "n1",
    }
    told = parsed("agent", rendered, monkeypatch)
    assert {name: told[name] for name in expected} == expected


def test_the_controller_is_told_what_the_values_say(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = render(
        {
            "feature.tunnelIpv4Subnet": "192.0.2.0/24",
            "datapath.markMask": "0xf0",
            "controller.serviceCIDRs": ["10.96.0.0/12", "fd00:96::/112"],
            "controller.heartbeatStale": 45,
            "controller.leaseDuration": 20,
            "controller.httpPort": 8080,
        }
    )
    expected = {
        "tunnel_subnet4": "192.0.2.0/24",
        "tunnel_subnet6": "none",
        "mark_mask": "0xf0",
        "service_cidrs": "10.96.0.0/12,fd00:96::/112",
        "heartbeat_stale": 45.0,
        "lease_duration": 20.0,
        "lease_name": "outgate-controller",
        "http_port": 8080,
    }
    told = parsed("controller", rendered, monkeypatch)
    assert {name: told[name] for name in expected} == expected


def test_cleanup_looks_where_the_agent_has_put_things(rendered: Rendered) -> None:
    containers = rendered.containers()
    of_agent, of_cleanup = (containers[name].environment for name in ("agent", "cleanup"))
    assert of_cleanup.items() <= of_agent.items()
    assert of_agent.keys() - of_cleanup.keys() == {
        "OUTGATE_ACCEPT_MARK",
        "OUTGATE_COUNTERS",
        "OUTGATE_HEARTBEAT",
        "OUTGATE_HTTP_PORT",
        "OUTGATE_RESYNC",
        "OUTGATE_SOURCE_CHECK",
        "OUTGATE_STRICT_START",
    }
    pods = containers["agent"].pod, containers["cleanup"].pod
    for field in ("nodeSelector", "tolerations", "hostNetwork"):
        assert pods[0][field] == pods[1][field]


@pytest.mark.parametrize("values", [{}, {"nameOverride": "egress"}, {"fullnameOverride": "e"}])
def test_uninstall_finds_exactly_the_pods_of_its_release(values: dict[str, Any]) -> None:
    rendered, other = render(values, release="one"), render(values, release="two")
    arguments = rendered.containers()["uninstall"].body["args"]
    told = uninstall_command.make_context("uninstall", arguments, resilient_parsing=True).params
    (cleanup,) = [
        each for name, each in rendered.of("DaemonSet").items() if name.endswith("cleanup")
    ]
    release = Release(told["namespace"], told["name"], cleanup)
    assert cleanup["metadata"]["name"] == f"{release.name}-cleanup"
    assert f"{release.name}-agent" in rendered.of("DaemonSet")
    assert f"{release.name}-controller" in rendered.of("Deployment")
    selected = matcher(
        namespace="", field_selector="", label_selector=release.selector("agent", "controller")
    )

    def found(rendering: Rendered) -> list[str]:
        workloads = [*rendering.of("Deployment").values(), *rendering.of("DaemonSet").values()]
        return [
            each["metadata"]["name"] for each in workloads if selected(each["spec"]["template"])
        ]

    assert len(found(rendered)) == 2
    assert found(other) == []


def test_a_node_at_a_time_gets_a_new_agent(rendered: Rendered) -> None:
    strategy = rendered.of("DaemonSet")["outgate-agent"]["spec"]["updateStrategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}


@pytest.mark.parametrize(("replicas", "away", "guarded"), [(1, 0, False), (2, 1, True)])
def test_a_controller_is_there_throughout_an_upgrade(
    replicas: int, away: int, guarded: bool
) -> None:
    rendered = render({"controller.replicas": replicas})
    spec = rendered.of("Deployment")["outgate-controller"]["spec"]
    assert spec["replicas"] == replicas
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": away, "maxSurge": 1}
    assert bool(rendered.of("PodDisruptionBudget")) is guarded


def test_replicas_prefer_nodes_of_their_own(rendered: Rendered) -> None:
    affinity = rendered.containers()["controller"].pod["affinity"]["podAntiAffinity"]
    (term,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    selector = term["podAffinityTerm"]["labelSelector"]
    assert selector == rendered.of("Deployment")["outgate-controller"]["spec"]["selector"]


def test_selectors_outlive_versions(rendered: Rendered) -> None:
    for each in (*rendered.of("Deployment").values(), *rendered.of("DaemonSet").values()):
        labels = each["spec"]["selector"]["matchLabels"]
        assert set(labels) == {
            f"app.kubernetes.io/{name}" for name in ("name", "instance", "component")
        }
        assert labels.items() <= each["spec"]["template"]["metadata"]["labels"].items()


def test_agent_and_vip_meet_in_a_folder_that_outlives_both(rendered: Rendered) -> None:
    containers = rendered.containers()
    mounts = {
        (each["name"], each["mountPath"])
        for name in ("agent", "vip")
        for each in containers[name].body["volumeMounts"]
        if each["name"] == "run"
    }
    assert mounts == {("run", "/run/outgate")}
    (volume,) = [each for each in containers["agent"].pod["volumes"] if each["name"] == "run"]
    assert volume["hostPath"] == {"path": "/run/outgate", "type": "DirectoryOrCreate"}


def test_the_timings_of_the_vip_process_are_its_own_defaults(rendered: Rendered) -> None:
    environment = rendered.containers()["vip"].environment
    for name in CHOSEN:
        assert float(environment[f"OUTGATE_VIP_{name.upper()}"]) == getattr(DEFAULTS, name)
    assert environment["OUTGATE_VIP_PARTITION"] == DEFAULTS.partition.value


def test_the_key_is_mounted_for_the_vip_process_alone(rendered: Rendered) -> None:
    having = {
        name
        for name, each in rendered.containers().items()
        for mount in each.body.get("volumeMounts", [])
        if mount["name"] == "keys"
    }
    assert having == {"vip"}
    (secret,) = rendered.of("Secret").values()
    assert set(secret["stringData"]) == {"active", secret["stringData"]["active"]}


@pytest.mark.parametrize("name", ["agent", "controller"])
def test_probes_and_metrics_have_a_service_that_selects_the_pods(
    name: str, rendered: Rendered
) -> None:
    body = rendered.containers()[name].body
    assert body["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert body["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    (port,) = body["ports"]
    service = rendered.of("Service")[f"outgate-{name}"]["spec"]
    assert service["ports"] == [
        {"name": "http", "port": port["containerPort"], "targetPort": "http"}
    ]
    workload = "DaemonSet" if name == "agent" else "Deployment"
    pods = rendered.of(workload)[f"outgate-{name}"]["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= pods.items()


def test_a_service_monitor_finds_each_service() -> None:
    rendered = render(
        {"metrics.serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}
    )
    for name, monitor in rendered.of("ServiceMonitor").items():
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        wanted = monitor["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= rendered.of("Service")[name]["metadata"]["labels"].items()
    assert set(rendered.of("ServiceMonitor")) == set(rendered.of("Service"))
