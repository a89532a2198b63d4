"""The controller against a real API server: what it writes is valid, and survives what happens."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from apiserver.harness import ApiServer, until

from outgate.api.clusterinfo import EgressClusterInfo
from outgate.api.gateway import EgressGateway
from outgate.api.kinds import (
    EGRESS_CLUSTER_INFO,
    EGRESS_CLUSTER_POLICY,
    EGRESS_ENDPOINT_SLICE,
    EGRESS_GATEWAY,
    EGRESS_POLICY,
    EGRESS_TUNNEL,
    NODE,
    POD,
)
from outgate.api.policy import NO_EIP, PolicyStatus
from outgate.controller.assign import heir
from outgate.controller.model import Settings
from outgate.controller.reconcile import Reconciler
from outgate.controller.watched import Watched
from outgate.daemon.task import Task
from outgate.kube.client import Client
from outgate.kube.election import Timing
from outgate.kube.errors import ApiError
from outgate.kube.lease import LeaderElection

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("crds")]

FAST = Timing(duration=3.0, renew_deadline=2.0, retry=0.2)
PORT = 17790


class Replica:
    """One replica of the controller, in threads of this process."""

    def __init__(self, kubeconfig: str, namespace: str, name: str) -> None:
        self.api = Client.connect(kubeconfig)
        self.watched = Watched()
        self.election = LeaderElection(
            self.api, lease="controller", namespace=namespace, me=name, timing=FAST
        )
        self.reconciler = Reconciler(
            self.api, self.watched, self.election, settings=Settings(stale=3600.0)
        )
        self.stop = threading.Event()
        self.crash = threading.Event()
        tasks: list[Task] = [*self.watched.reflectors(self.api), self.reconciler]
        self._threads = [threading.Thread(target=task.run, args=(self.stop,)) for task in tasks]
        self._threads.append(threading.Thread(target=self._elect))

    def _elect(self) -> None:
        while not (self.stop.is_set() or self.crash.is_set()):
            self.election.step()
            self.stop.wait(FAST.retry)
        if not self.crash.is_set():
            self.election.run(self.stop)  # stopped: releases

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()
        self.api.close()


Start = Callable[[str], Replica]


@pytest.fixture
def start(apiserver: ApiServer, client: Client, namespace: str) -> Iterator[Start]:
    """Starts replicas that share a lease."""
    replicas: list[Replica] = []

    def run(name: str) -> Replica:
        replica = Replica(apiserver.kubeconfig, namespace, name)
        replicas.append(replica)
        replica.start()
        return replica

    yield run
    for replica in replicas:
        replica.end()


class Objects:
    """What users, kubelets and agents do."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    def node(self, name: str, *, ready: bool = True) -> None:
        self._put(NODE, name, {"metadata": {"labels": {"role": "egress"}}})
        status = "True" if ready else "False"
        addresses = [{"type": "InternalIP", "address": f"192.0.2.{name[-1]}"}]
        self._put(
            NODE,
            name,
            {"status": {"conditions": [_condition(status)], "addresses": addresses}},
            subresource="status",
        )

    def agent(self, name: str) -> None:
        until(f"{name} has a tunnel", lambda: self.client.get(EGRESS_TUNNEL, name) is not None)
        status = {
            "phase": "Ready",
            "underlay": {"interface": "eth0", "ipv4": f"192.0.2.{name[-1]}", "mtu": 1500},
            "lastHeartbeatTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        self._put(EGRESS_TUNNEL, name, {"status": status}, subresource="status")

    def nodes(self, *names: str) -> None:
        for name in names:
            self.node(name)
        for name in names:
            self.agent(name)

    def pod(self, name: str, *, ip: str) -> None:
        spec = {"nodeName": "node-1", "containers": [{"name": "c", "image": "none"}]}
        meta = {"labels": {"app": "web"}}
        self._put(POD, name, {"metadata": meta, "spec": spec}, namespace=self.namespace)
        status = {"phase": "Running", "podIPs": [{"ip": ip}], "podIP": ip}
        self._put(POD, name, {"status": status}, namespace=self.namespace, subresource="status")

    def gateway(self, name: str = "gw", **ippools: Any) -> None:
        selector = {"selector": {"matchLabels": {"role": "egress"}}}
        pools = ippools or {"ipv4": ["198.51.100.10-198.51.100.20"], "ipv6": ["2001:db8:1::/64"]}
        self._put(EGRESS_GATEWAY, name, {"spec": {"nodeSelector": selector, "ippools": pools}})

    def policy(self, name: str = "web", **egress_ip: Any) -> None:
        spec = {
            "egressGatewayName": "gw",
            "appliedTo": {"podSelector": {"matchLabels": {"app": "web"}}},
            "egressIP": egress_ip,
        }
        self._put(EGRESS_POLICY, name, {"spec": spec}, namespace=self.namespace)

    def status(self, name: str = "web") -> PolicyStatus:
        found = self.client.get(EGRESS_POLICY, name, namespace=self.namespace)
        assert found is not None
        return found.status

    def reason(self, name: str = "web") -> str:
        return next((c.reason for c in self.status(name).conditions if c.type == "Ready"), "")

    def holders(self) -> dict[str, str]:
        found: EgressGateway | None = self.client.get(EGRESS_GATEWAY, "gw")
        return {} if found is None else {e.address: e.node for e in found.status.addresses}

    def settled(self) -> None:
        """Wait until every policy has its answer."""

        def answered() -> bool:
            policies, _ = self.client.list(EGRESS_POLICY)
            return all(p.status.observed_generation == p.metadata.generation for p in policies)

        until("every policy has a status", answered)

    def _put(
        self, kind: Any, name: str, body: Any, *, namespace: str = "", subresource: str = ""
    ) -> None:
        self.client.apply(
            kind, name, body, namespace=namespace, manager="tests", subresource=subresource
        )


def _condition(status: str) -> dict[str, str]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": "Ready",
        "status": status,
        "reason": "Tests",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }


class Engines:
    """What the gateway nodes' vip processes do: one eligible node claims each free address."""

    def __init__(self, kubeconfig: str) -> None:
        self._api = Client.connect(kubeconfig)
        self._stop = threading.Event()
        self._epoch = 0
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._api.close()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            with contextlib.suppress(ApiError):  # stopped and started by tests
                self._claim()

    def _claim(self) -> None:
        for gateway in self._api.list(EGRESS_GATEWAY)[0]:
            name = gateway.metadata.name
            eligible = tuple(n.name for n in gateway.status.node_list if n.status == "Ready")
            holders = {e.address: e.node for e in gateway.status.addresses if e.address}
            free = [a for a, node in holders.items() if node not in eligible]
            for node in eligible if free else ():
                self._epoch += 1
                mine = [a for a in free if heir(name, a, eligible) == node]
                kept = [a for a, its in holders.items() if its == node]
                claim = {"gateway": name, "epoch": self._epoch, "addresses": [*mine, *kept]}
                self._api.apply(
                    EGRESS_TUNNEL,
                    node,
                    {"status": {"holding": [claim]}},
                    manager="vip",
                    subresource="status",
                )


@pytest.fixture
def objects(apiserver: ApiServer, client: Client, namespace: str) -> Iterator[Objects]:
    engines = Engines(apiserver.kubeconfig)
    engines.start()
    yield Objects(client, namespace)
    engines.end()


def test_from_nothing_to_every_status(start: Start, objects: Objects, client: Client) -> None:
    start("a")
    objects.gateway()
    objects.nodes("node-1", "node-2")
    objects.policy()
    objects.policy("rr", allocatorPolicy="rr")
    objects.policy("node", useNodeIP=True)
    objects.policy("bad", ipv4="203.0.113.9")
    objects.pod("p1", ip="203.0.113.1")
    until("it is assigned", lambda: objects.reason() == "Assigned")
    until("the pod is matched", lambda: objects.status().matched_pods == 1)
    objects.settled()
    assert objects.status().eip.ipv4 == "198.51.100.10"
    assert objects.status().eip.ipv6 == "2001:db8:1::1"
    assert objects.status("rr").eip.ipv4 == "198.51.100.11"
    assert objects.status("node").eip.ipv4 in {"192.0.2.1", "192.0.2.2"}
    assert objects.reason("bad") == "AddressNotInPool"
    slices, _ = client.list(EGRESS_ENDPOINT_SLICE, namespace=objects.namespace)
    assert sorted(s.metadata.labels["outgate.dev/policy"] for s in slices) == [
        "bad",
        "node",
        "rr",
        "web",
    ]
    assert slices[0].endpoints[0].ipv4 == ("203.0.113.1",)

    info: EgressClusterInfo | None = client.get(EGRESS_CLUSTER_INFO, "default")
    assert info is not None
    sources = {(network.cidr, network.source) for network in info.status.networks}
    assert ("198.51.100.0/24", "ServiceCIDR") in sources  # the server's own
    assert ("192.0.2.1/32", "NodeAddress") in sources


def test_events_say_what_happened(start: Start, objects: Objects, apiserver: ApiServer) -> None:
    start("a")
    objects.gateway()
    objects.policy(ipv4="203.0.113.9")
    until("it is refused", lambda: objects.reason() == "AddressNotInPool")

    def told() -> bool:
        events = apiserver.kubectl("get", "events", "-A", "-o", "wide")
        return "AddressNotInPool" in events and "NoCandidateNode" in events

    until("events tell it", told)


def test_a_conflict_and_a_move_are_told_as_the_nodes_report_them(
    start: Start, objects: Objects, client: Client, apiserver: ApiServer
) -> None:
    start("a")
    objects.gateway(ipv4=["198.51.100.10"])
    objects.nodes("node-1", "node-2")
    objects.policy()
    until("it is held", lambda: bool(objects.holders().get("198.51.100.10")))
    holder = objects.holders()["198.51.100.10"]
    (other,) = {"node-1", "node-2"} - {holder}

    def reports(node: str, **status: Any) -> None:
        client.apply(
            EGRESS_TUNNEL, node, {"status": status}, manager="segment", subresource="status"
        )

    def unique() -> str:
        found = client.get(EGRESS_GATEWAY, "gw")
        assert found is not None
        return next(c.status for c in found.status.conditions if c.type == "AddressesUnique")

    def told(*words: str) -> bool:
        events = apiserver.kubectl("get", "events", "-A", "-o", "wide")
        return any(all(word in line for word in words) for line in events.splitlines())

    trouble = {"gateway": "gw", "reason": "Conflict", "addresses": ["198.51.100.10"], "count": 1}
    reports(holder, troubles=[trouble | {"message": "02:00:5e:00:53:01"}])
    until("the condition says it", lambda: unique() == "False")
    until("an Event says it", lambda: told("Warning", "AddressConflict", "02:00:5e:00:53:01"))
    reports(holder, troubles=[])
    until("it is over", lambda: unique() == "True" and told("Normal", "NoConflict"))

    crash = {"gateway": "gw", "kind": "Claimed", "firstEpoch": 0, "epoch": 1_000_000, "count": 1}
    crash |= {"node": holder, "why": "crash", "tookMilliseconds": 412}
    reports(other, moves=[crash])
    objects.node(holder, ready=False)
    until(
        "the move is told",
        lambda: told("Moved", f"from {holder} to {other}", "(epoch", "fell silent", "0.41 s"),
    )


def test_a_policy_loses_its_addresses_with_its_gateway_and_says_so(
    start: Start, objects: Objects, client: Client
) -> None:
    start("a")
    objects.gateway()
    objects.nodes("node-1")
    objects.policy()
    until("it is assigned", lambda: objects.reason() == "Assigned")
    client.delete(EGRESS_GATEWAY, "gw")
    until("it says so", lambda: objects.reason() == "GatewayNotFound")
    assert objects.status().eip == NO_EIP


def test_addresses_leave_a_node_that_is_not_ready(start: Start, objects: Objects) -> None:
    start("a")
    objects.gateway()
    objects.nodes("node-1", "node-2")
    objects.policy()
    until("it is assigned", lambda: objects.reason() == "Assigned")
    lost = objects.status().node.split(",")[0]
    objects.node(lost, ready=False)
    until("it moved", lambda: objects.reason() == "Assigned" and lost not in objects.status().node)
    assert lost not in objects.holders().values()


@pytest.mark.parametrize("way", ["release", "crash"])
def test_second_replica_goes_on_where_the_first_was(
    start: Start, objects: Objects, client: Client, way: str
) -> None:
    first = start("first")
    until("the first leads", first.election.leading)
    second = start("second")
    objects.gateway()
    objects.nodes("node-1", "node-2", "node-3")
    for number in range(5):
        objects.policy(f"p{number}", allocatorPolicy="random")
    until("all is held", lambda: len([n for n in objects.holders().values() if n]) == 10)
    objects.settled()
    before = objects.holders()
    (first.stop if way == "release" else first.crash).set()
    until("the second leads", second.election.leading)
    objects.policy("late", ipv4="198.51.100.20")
    until("the second works", lambda: objects.reason("late") == "Assigned")
    assert before.items() <= objects.holders().items()
    gateway = client.get(EGRESS_GATEWAY, "gw")
    assert gateway is not None
    ids = [entry.id for entry in gateway.status.addresses]
    assert len(set(ids)) == len(ids)


def test_settled_objects_are_not_written_again(
    start: Start, objects: Objects, client: Client
) -> None:
    first = start("first")
    objects.gateway()
    objects.nodes("node-1")
    objects.policy()
    objects.pod("p1", ip="203.0.113.1")
    until("it is assigned", lambda: objects.reason() == "Assigned")
    until("the pod is matched", lambda: objects.status().matched_pods == 1)
    first.end()

    def versions() -> list[str]:
        metas = [
            *(gateway.metadata for gateway in client.list(EGRESS_GATEWAY)[0]),
            *(policy.metadata for policy in client.list(EGRESS_POLICY)[0]),
            *(tunnel.metadata for tunnel in client.list(EGRESS_TUNNEL)[0]),
            *(info.metadata for info in client.list(EGRESS_CLUSTER_INFO)[0]),
        ]
        return [meta.resource_version for meta in metas]

    before = versions()
    second = start("second")
    until("the second is through", lambda: second.reconciler.ready() and second.election.leading())
    objects.policy("late", useNodeIP=True)
    until("the second works", lambda: objects.reason("late") == "Assigned")
    after = versions()
    assert set(before) - set(after) == {before[0]}  # the gateway, for the new policy
    assert objects.holders()[""] == "node-1"


def test_restart_of_the_api_server_is_survived(
    start: Start, objects: Objects, apiserver: ApiServer
) -> None:
    replica = start("a")
    objects.gateway()
    objects.nodes("node-1", "node-2")
    until("it leads", replica.election.leading)
    apiserver.stop()
    until("it knows that it does not lead", lambda: not replica.election.leading())
    apiserver.start()
    objects.policy()
    until("it works again", lambda: objects.reason() == "Assigned", timeout=40)


def test_deleting_takes_no_finalizer_and_leaves_nothing(
    start: Start, objects: Objects, client: Client
) -> None:
    start("a")
    objects.gateway()
    objects.nodes("node-1")
    objects.policy()
    objects.pod("p1", ip="203.0.113.1")
    until("the pod is matched", lambda: objects.status().matched_pods == 1)
    client.delete(EGRESS_POLICY, "web", namespace=objects.namespace)
    assert client.get(EGRESS_POLICY, "web", namespace=objects.namespace) is None
    until("addresses are free", lambda: not objects.holders())
    until(
        "slices are gone",
        lambda: not client.list(EGRESS_ENDPOINT_SLICE, namespace=objects.namespace)[0],
    )
    client.delete(EGRESS_GATEWAY, "gw")
    assert client.get(EGRESS_GATEWAY, "gw") is None


def test_cluster_policy_has_a_status_too(start: Start, objects: Objects, client: Client) -> None:
    start("a")
    objects.gateway()
    objects.nodes("node-1")
    spec = {"egressGatewayName": "gw", "appliedTo": {"podSelector": {}}}
    client.apply(EGRESS_CLUSTER_POLICY, "all", {"spec": spec}, manager="tests")

    def assigned() -> bool:
        found = client.get(EGRESS_CLUSTER_POLICY, "all")
        return found is not None and found.status.node == "node-1"

    until("it is assigned", assigned)


def test_process_gets_ready_and_stops_by_signal(
    apiserver: ApiServer, namespace: str, objects: Objects, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "outgate.controller", f"--http-port={PORT}"],
            env={
                **os.environ,
                "KUBECONFIG": apiserver.kubeconfig,
                "OUTGATE_LEASE_NAMESPACE": namespace,
            },
            stderr=out,
        )
    try:
        objects.gateway()
        objects.nodes("node-1")
        objects.policy()
        until("it is ready", lambda: _answers("/readyz"))
        until("it works", lambda: objects.reason() == "Assigned")
        assert b"outgate_controller_leader 1.0" in _read("/metrics")
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def _read(path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=5) as answer:
        body: bytes = answer.read()
        return body


def _answers(path: str) -> bool:
    try:
        _read(path)
    except (urllib.error.URLError, ConnectionError):
        return False
    return True
