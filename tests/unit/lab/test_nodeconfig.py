import json
from pathlib import Path

import pytest

from outgate.lab import Cni, Families, Options, nodeconfig, programs
from outgate.lab.build import Toolbox
from outgate.lab.nodeplan import NodePlan
from outgate.lab.paths import Paths
from outgate.lab.topology import topology


@pytest.fixture
def run_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("outgate.lab.paths.RUN_ROOT", tmp_path)
    monkeypatch.setenv("OUTGATE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def plan_of(options: Options, node: str) -> NodePlan:
    shape = topology(options)
    tools = Toolbox(
        {f"{p.folder}/{p.name}": Path("/programs", p.name) for p in programs.GO_PROGRAMS},
        Path("/image.tar"),
    )
    path = nodeconfig.write_plan(Paths(options.name), options, shape, tools, shape.node(node))
    return NodePlan.from_json(path.read_text())


def test_a_flannel_node_waits_for_its_subnet(run_root: Path) -> None:
    plan = plan_of(Options("x", families=Families.DUAL), "w1")
    assert plan.ready_file == "/run/flannel/subnet.env"
    assert plan.boot_nft == ""
    assert [component.name for component in plan.components] == [
        "kubelet",
        "kube-proxy",
        "flanneld",
    ]
    assert "--node-ip=172.30.0.13,fd00:30::13" in plan.components[0].argv
    assert plan.components[2].environment == {"NODE_NAME": "w1"}
    assert NodePlan.from_json(plan.to_json()) == plan


def test_a_bridge_node_needs_no_flannel_and_masquerades_itself(run_root: Path) -> None:
    plan = plan_of(Options("x", cni=Cni.BRIDGE), "gw2")
    assert plan.ready_file == ""
    assert [component.name for component in plan.components] == ["kubelet", "kube-proxy"]
    assert "ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16" in plan.boot_nft
    bridge = json.loads(plan.cni_config)["plugins"][0]
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.2.0/24"}]]


@pytest.mark.parametrize(
    ("families", "wanted"),
    [
        (Families.IPV4, {"EnableIPv4": True, "Network": "10.244.0.0/16"}),
        (Families.IPV6, {"EnableIPv4": False, "EnableIPv6": True, "IPv6Network": "fd00:244::/56"}),
        (
            Families.DUAL,
            {
                "EnableIPv4": True,
                "Network": "10.244.0.0/16",
                "EnableIPv6": True,
                "IPv6Network": "fd00:244::/56",
            },
        ),
    ],
)
def test_flannel_knows_the_labs_families(families: Families, wanted: dict[str, object]) -> None:
    options = Options(families=families, cni=Cni.FLANNEL_HOST_GW)
    config = nodeconfig.flannel_config(options, topology(options))
    assert config == {**wanted, "Backend": {"Type": "host-gw"}}


def test_a_dead_node_misses_several_reports_before_it_counts_as_dead() -> None:
    config = nodeconfig.kubelet_config(Path("/run/x"))
    assert config["nodeStatusUpdateFrequency"] == "4s"
    assert config["nodeLeaseDurationSeconds"] == 16
