"""The lab itself, for real: it comes up, breaks as it is told to, and leaves nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest

from outgate.lab import (
    Answer,
    Cni,
    CommandFailed,
    Families,
    Lab,
    LabError,
    Options,
    cgroups,
    images,
    lifecycle,
    processes,
)
from outgate.lab.paths import Paths


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    running = Lab.up(Options(name="labtest"))
    start_pod(running, "p1", "w1")
    yield running
    running.down()
    assert lifecycle.remains(Paths("labtest")) == []


def start_pod(lab: Lab, pod: str, node: str, *, command: Sequence[str] = ("probe",)) -> None:
    lab.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": pod},
            "spec": {
                "nodeName": node,
                "terminationGracePeriodSeconds": 0,
                "tolerations": [{"operator": "Exists"}],
                "containers": [
                    {
                        "name": "probe",
                        "image": "localhost/outgate-probe:1",
                        "imagePullPolicy": "Never",
                        "command": list(command),
                    }
                ],
            },
        }
    )
    lab.kubectl("wait", "--for=condition=Ready", f"pod/{pod}", "--timeout=30s")


@pytest.mark.parametrize("protocol", ["http", "tcp", "udp"])
def test_a_pod_leaves_with_its_nodes_address(lab: Lab, protocol: str) -> None:
    began = time.time()
    answer = lab.probe("p1", protocol, "203.0.113.20")
    assert answer.source == lab.node("w1").address, answer.error
    seen = lab.outside_log(since=began)[-1]
    assert (seen.protocol, seen.source, seen.port) == (protocol, answer.source, answer.port)
    assert seen.destination == ip_address("203.0.113.20")


def test_the_probe_program_answers_inside_the_pod(lab: Lab) -> None:
    said = lab.kubectl("exec", "p1", "--", "probe", "get", f"http://{lab.outside}:8080")
    assert '"source": "172.30.0.13"' in said


def test_a_flow_is_held_and_a_ping_returns(lab: Lab) -> None:
    with lab.flow("p1") as flow:
        assert flow.ask().port == flow.ask().port
    assert lab.ping("p1") is not None
    assert lab.ping("p1", "203.0.113.99", timeout=0.2) is None


def test_the_api_server_reaches_a_pod(lab: Lab) -> None:
    start_pod(lab, "server", "gw1", command=["probe", "serve", ":8080"])
    path = "/api/v1/namespaces/default/pods/server:8080/proxy/"
    said = Lab.wait("the pod to listen", lambda: lab.kubectl("get", "--raw", path))
    assert said.startswith("pod=server")


def test_an_image_reaches_every_node(lab: Lab, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("")
    images.write_image(tmp_path / "image.tar", ["localhost/loaded:1"], {"/program": program})
    lab.load_image(tmp_path / "image.tar")
    for node in lab.topology.nodes:
        assert "localhost/loaded:1" in lab.exec(node.name, "ctr", "images", "list", "-q")


def test_gateways_are_labelled(lab: Lab) -> None:
    nodes = lab.kubectl_json("get", "nodes", "-l", "egressgateway=true")["items"]
    assert [node["metadata"]["name"] for node in nodes] == ["gw1", "gw2"]


def test_a_partition_is_between_its_two_hosts_only(lab: Lab) -> None:
    lab.partition("w1", "gw1")
    assert lab.partitions() == (("gw1", "w1"), ("w1", "gw1"))
    try:
        with pytest.raises(CommandFailed):
            reach(lab, "w1", "172.30.0.11")
        reach(lab, "w1", "172.30.0.12")
        assert lab.probe("p1")
    finally:
        lab.heal()
    reach(lab, "w1", "172.30.0.11")


def test_a_node_cut_from_the_api_still_forwards(lab: Lab) -> None:
    lab.cut_api("w1")
    try:
        with pytest.raises(CommandFailed):
            reach(lab, "w1", "172.30.0.10")
        assert lab.probe("p1")
    finally:
        lab.heal()


def test_a_paused_host_does_nothing_until_it_resumes(lab: Lab) -> None:
    lab.pause("outside")
    try:
        assert not lab.probe("p1", "http", timeout=0.3)
    finally:
        lab.resume("outside")
    assert lab.probe("p1")


def test_one_process_can_be_paused(lab: Lab) -> None:
    assert lab.pause("w1", process="flanneld") == 1
    lab.resume("w1")


def test_a_pulled_cable_is_silent(lab: Lab) -> None:
    lab.set_link("w1", up=False)
    try:
        assert {entry.host.name: entry.state for entry in lab.status()}["w1"] == "link down"
        assert not lab.probe("p1", timeout=0.3)
    finally:
        lab.set_link("w1", up=True)
    assert Lab.wait("the link", lambda: lab.probe("p1"))


def test_a_capture_holds_what_passed(lab: Lab) -> None:
    with lab.capture("outside", "udp port 8082") as capture:
        assert lab.probe("p1", "udp")
        lines = Lab.wait("both datagrams", lambda: two_lines(capture.lines()))
    assert "172.30.0.13" in lines[0]


def two_lines(lines: list[str]) -> list[str]:
    return lines if len(lines) >= 2 else []


def test_the_api_server_stops_and_starts(lab: Lab) -> None:
    lab.stop_api()
    assert not lab.api.is_ready()
    lab.start_api()
    assert lab.kubectl("get", "nodes")


def test_a_killed_node_is_silent_and_comes_back_with_its_pods(lab: Lab) -> None:
    start_pod(lab, "p2", "gw2")
    lab.kill_node("gw2")
    assert {entry.host.name: entry.state for entry in lab.status()}["gw2"] == "off"
    with pytest.raises(CommandFailed):
        reach(lab, "w1", "172.30.0.12")
    with pytest.raises(LabError, match="gw2 is off"):
        lab.kill_node("gw2")
    lab.start_node("gw2")
    answer: Answer = Lab.wait("the pod to be back", lambda: probe_or_nothing(lab, "p2"))
    assert answer.source == lab.node("gw2").address


def probe_or_nothing(lab: Lab, pod: str) -> Answer:
    try:
        return lab.probe(pod, timeout=0.5)
    except LabError as error:  # the pod has no process yet
        return Answer(None, error=str(error))


def reach(lab: Lab, host: str, address: str) -> None:
    lab.exec(host, "ping", "-c", "1", "-W", "1", address)


def test_a_lab_whose_up_was_killed_halfway_leaves_nothing() -> None:
    name = "labtest-half"
    starter = subprocess.Popen(
        [sys.executable, "-m", "outgate.lab", "up", "--name", name],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.DEVNULL,
    )
    Lab.wait("the first programs", lambda: cgroups.processes(Paths(name), "gw1"), interval=0.02)
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    left = cgroups.processes(Paths(name))
    assert lifecycle.down(name)
    assert lifecycle.remains(Paths(name)) == []
    assert not any(processes.is_alive(pid) for pid in left)


@pytest.mark.parametrize(
    ("families", "cni", "destination"),
    [
        (Families.DUAL, Cni.FLANNEL_HOST_GW, "2001:db8:cafe::20"),
        (Families.IPV6, Cni.FLANNEL_VXLAN, "2001:db8:cafe::10"),
        (Families.IPV4, Cni.BRIDGE, "203.0.113.10"),
    ],
)
def test_a_second_lab_of_another_shape_runs_beside_the_first(
    lab: Lab, families: Families, cni: Cni, destination: str
) -> None:
    second = Lab.up(Options(name="labtest-two", nodes=1, gateways=0, families=families, cni=cni))
    try:
        start_pod(second, "p1", "w1")
        sources = {interface.ip for interface in second.node("w1").addresses}
        answer = second.probe("p1", "http", destination)
        assert answer.source in sources, answer.error
        assert lab.probe("p1")
    finally:
        second.down()
    assert lifecycle.remains(second.paths) == []
