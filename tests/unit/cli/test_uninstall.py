"""`outgate uninstall` against an API server in memory, with a cluster that follows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from outgate.api.clusterinfo import EgressClusterInfoStatus
from outgate.api.kinds import (
    EGRESS_CLUSTER_ENDPOINT_SLICE,
    EGRESS_CLUSTER_INFO,
    EGRESS_ENDPOINT_SLICE,
    EGRESS_GATEWAY,
    EGRESS_POLICY,
    EGRESS_TUNNEL,
    LEASE,
    NODE,
)
from outgate.cli.main import main
from outgate.cli.rollout import DAEMON_SET, DEPLOYMENT, POD
from outgate.cli.uninstall import CONTROLLERS, NotUninstalled, Release, Uninstaller
from outgate.kube.errors import ApiRefused, ApiUnavailable
from outgate.kube.events import EVENT
from outgate.kube.fake import FakeApi

NAMESPACE = "outgate-system"
POLICY: dict[str, Any] = {"appliedTo": {"podSelector": {}}}
NODES = {"n1": "True", "n2": "True", "gone": "Unknown"}


def labels(component: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "outgate",
        "app.kubernetes.io/instance": "egress",
        "app.kubernetes.io/component": component,
    }


RELEASE = Release(
    NAMESPACE,
    "egress-outgate",
    {
        "metadata": {
            "name": "egress-outgate-cleanup",
            "namespace": NAMESPACE,
            "labels": labels("cleanup"),
        },
        "spec": {},
    },
)


class Cluster:
    """What controllers and kubelets do meanwhile, a step a look; and what was said."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.now = 0.0
        self.said: list[str] = []
        self.calls_when_cleaned: list[str] = []
        self.hangs = ""

    def pause(self, seconds: float) -> None:
        self.now += seconds
        for component, kind in (
            ("controller", DEPLOYMENT),
            ("agent", DAEMON_SET),
            ("cleanup", DAEMON_SET),
        ):
            name = f"egress-outgate-{component}"
            there = self.api.get(kind, name, namespace=NAMESPACE) is not None
            for node, ready in NODES.items():
                if not there and ready == "True":
                    self.api.drop(POD, f"{component}-{node}", namespace=NAMESPACE)
                if there and component == "cleanup":
                    self.clean(node)

    def clean(self, node: str) -> None:
        self.pod("cleanup", node, ready=NODES[node] == "True" and node != self.hangs)
        self.api.put(
            DAEMON_SET,
            {
                **RELEASE.cleanup,
                "status": {"desiredNumberScheduled": len(NODES), "observedGeneration": 1},
            },
        )

    def pod(self, component: str, node: str, *, ready: bool) -> None:
        self.api.put(
            POD,
            {
                "metadata": {
                    "name": f"{component}-{node}",
                    "namespace": NAMESPACE,
                    "labels": labels(component),
                },
                "spec": {"nodeName": node},
                "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
            },
        )

    def uninstaller(self, *, seconds: float = 60.0) -> Uninstaller:
        return Uninstaller(
            self.api,
            RELEASE,
            deadline=self.now + seconds,
            say=self.said.append,
            clock=lambda: self.now,
            pause=self.pause,
        )


@pytest.fixture
def api() -> FakeApi:
    """An installed release, on two nodes that are Ready and one that is not."""
    api = FakeApi()
    for name, ready in NODES.items():
        status = {"conditions": [{"type": "Ready", "status": ready}]}
        api.put(NODE, {"metadata": {"name": name}, "status": status})
    for kind, component in ((DEPLOYMENT, "controller"), (DAEMON_SET, "agent")):
        meta = {"name": f"egress-outgate-{component}", "namespace": NAMESPACE}
        api.put(kind, {"metadata": meta})
    spec = {"index": 1, "mac": "02:00:00:00:00:01"}
    api.put(EGRESS_TUNNEL, {"metadata": {"name": "n1"}, "spec": spec})
    api.put(EGRESS_ENDPOINT_SLICE, {"metadata": {"name": "s", "namespace": "default"}})
    api.put(EGRESS_CLUSTER_ENDPOINT_SLICE, {"metadata": {"name": "c"}})
    api.put(EGRESS_CLUSTER_INFO, {"metadata": {"name": "default"}, "spec": {"extraCIDR": ["::/0"]}})
    network = {"cidr": "10.0.0.0/8", "source": "Extra"}
    api.apply(
        EGRESS_CLUSTER_INFO,
        "default",
        {"status": {"networks": [network], "observedGeneration": 3}},
        manager="outgate-controller",
        subresource="status",
    )
    selector: dict[str, Any] = {"nodeSelector": {"selector": {}}}
    api.put(
        EGRESS_GATEWAY,
        {"metadata": {"name": "g"}, "spec": selector, "status": {"readyNodes": 2}},
    )
    api.put(EGRESS_POLICY, {"metadata": {"name": "p", "namespace": "default"}, "spec": POLICY})
    lease = {"name": "egress-outgate-controller", "namespace": NAMESPACE}
    api.put(LEASE, {"metadata": lease})
    return api


@pytest.fixture
def cluster(api: FakeApi) -> Cluster:
    cluster = Cluster(api)
    for node in NODES:
        cluster.pod("agent", node, ready=True)
    cluster.pod("controller", "n1", ready=True)
    return cluster


def names(api: FakeApi, kind: Any) -> list[str]:
    return [value.metadata.name for value in api.list(kind)[0]]


def test_all_of_the_release_is_gone_and_users_objects_are_untouched(
    api: FakeApi, cluster: Cluster
) -> None:
    before = [api.list(kind)[0] for kind in (EGRESS_GATEWAY, EGRESS_POLICY)]
    cluster.uninstaller().run()
    for kind in (DEPLOYMENT, DAEMON_SET, LEASE, *CONTROLLERS):
        assert names(api, kind) == [], kind.name
    assert [api.list(kind)[0] for kind in (EGRESS_GATEWAY, EGRESS_POLICY)] == before
    (info,) = api.list(EGRESS_CLUSTER_INFO)[0]
    assert info.status == EgressClusterInfoStatus()  # what agents take for "not known yet"
    assert info.spec.extra_cidr == ("::/0",)


def test_nodes_are_cleaned_only_after_controller_and_agents_are_gone(
    api: FakeApi, cluster: Cluster
) -> None:
    alive: list[str] = []
    create = api.create

    def watched(kind: Any, body: Any, **keywords: Any) -> Any:
        if kind is DAEMON_SET:
            alive.extend(
                pod.metadata.name for pod in api.list(POD)[0] if pod.spec.node_name != "gone"
            )
        return create(kind, body, **keywords)

    api.create = watched  # type: ignore[method-assign]
    cluster.uninstaller().run()
    assert alive == []


def test_what_the_controller_owns_is_deleted_only_after_the_nodes_are_clean(
    api: FakeApi, cluster: Cluster
) -> None:
    cluster.hangs = "n2"
    with pytest.raises(NotUninstalled, match="n2"):
        cluster.uninstaller().run()
    assert names(api, EGRESS_TUNNEL) == ["n1"]


def test_a_node_that_is_not_ready_is_named_and_marked(api: FakeApi, cluster: Cluster) -> None:
    cluster.uninstaller().run()
    assert "the nodes are clean, but for those that are not Ready: gone" in cluster.said
    (event,) = api.list(EVENT)[0]
    assert (event.involved_object.kind, event.involved_object.name) == ("Node", "gone")
    assert "outgate-agent --cleanup" in event.message


def test_in_vain_it_says_which_node_hangs_and_what_to_do(cluster: Cluster) -> None:
    cluster.hangs = "n2"
    with pytest.raises(NotUninstalled, match=r"not clean in time: n2\. .*--no-hooks"):
        cluster.uninstaller(seconds=5).run()


def test_a_second_attempt_cleans_anew(api: FakeApi, cluster: Cluster) -> None:
    cluster.hangs = "n2"
    with pytest.raises(NotUninstalled):
        cluster.uninstaller(seconds=5).run()
    cluster.hangs = ""
    cleaned_before = api.get(POD, "cleanup-n1", namespace=NAMESPACE)
    cluster.uninstaller().run()
    assert cleaned_before is not None
    assert names(api, DAEMON_SET) == []


def test_an_api_server_that_is_away_for_a_while_does_no_harm(
    api: FakeApi, cluster: Cluster
) -> None:
    api.fail("list", ApiUnavailable("restarting"), times=3)
    cluster.uninstaller().run()
    assert names(api, DAEMON_SET) == []


def test_kinds_without_definition_have_no_objects(api: FakeApi, cluster: Cluster) -> None:
    for kind in (*CONTROLLERS, EGRESS_CLUSTER_INFO):
        api.unknown(kind)
    cluster.uninstaller().run()
    assert names(api, LEASE) == []


def test_another_release_is_left_alone(api: FakeApi, cluster: Cluster) -> None:
    meta = {"name": "other-agent", "namespace": NAMESPACE}
    api.put(DAEMON_SET, {"metadata": meta})
    other = {**labels("agent"), "app.kubernetes.io/instance": "other"}
    api.put(
        POD,
        {
            "metadata": {"name": "other", "namespace": NAMESPACE, "labels": other},
            "spec": {"nodeName": "n1"},
        },
    )
    cluster.uninstaller().run()
    assert names(api, DAEMON_SET) == ["other-agent"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ApiRefused("delete deployments: forbidden"), "forbidden"),
        (lambda: ApiUnavailable("no API server to talk to"), "no API server"),
    ],
)
def test_the_command_says_why_it_failed_without_a_traceback(
    make: Callable[[], Exception],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def connect(_: object = None) -> FakeApi:
        api = FakeApi()
        error = make()
        if isinstance(error, ApiUnavailable):
            raise error
        assert isinstance(error, ApiRefused)
        api.fail("delete", error)
        return api

    monkeypatch.setattr("outgate.kube.client.Client.connect", connect)
    manifest = tmp_path / "cleanup.json"
    manifest.write_text(json.dumps(RELEASE.cleanup))
    command = ["uninstall", "--namespace=n", "--name=egress-outgate", f"--cleanup={manifest}"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert words in result.output
    assert "Traceback" not in result.output
