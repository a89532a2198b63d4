"""Least privilege: of the pods on their nodes, and of their tokens at the API server."""

from typing import Any

import pytest
from chart.rendering import Container, Rendered, render

from outgate.agent.stores import Stores
from outgate.api.kinds import OURS, Kind
from outgate.api.meta import Wire
from outgate.cli.uninstall import CONTROLLERS
from outgate.controller.watched import KINDS

CAPABILITIES = {
    "agent": ["NET_ADMIN", "NET_RAW"],
    "vip": ["NET_ADMIN", "NET_RAW", "SYS_NICE"],
    "cleanup": ["NET_ADMIN"],
    "clean": [],
    "controller": [],
    "uninstall": [],
}
ROOT_INSIDE = {"agent", "vip", "cleanup"}
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"

Rules = dict[tuple[str, str], set[str]]


@pytest.fixture(params=sorted(CAPABILITIES))
def container(request: pytest.FixtureRequest, rendered: Rendered) -> Container:
    return rendered.containers()[request.param]


def test_the_table_names_every_container(rendered: Rendered) -> None:
    assert set(rendered.containers()) == set(CAPABILITIES)


def test_a_container_has_no_more_than_it_needs(container: Container) -> None:
    context, pod = container.body["securityContext"], container.pod["securityContext"]
    assert context["capabilities"]["drop"] == ["ALL"]
    assert context["capabilities"].get("add", []) == CAPABILITIES[container.name]
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert "privileged" not in context
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    if container.name not in ROOT_INSIDE:
        assert {**pod, **context}["runAsNonRoot"] is True


def test_without_real_time_its_capability_is_not_asked_for() -> None:
    vip = render({"vip.realtime": False}).containers()["vip"].body
    assert "SYS_NICE" not in vip["securityContext"]["capabilities"]["add"]
    assert {"name": "OUTGATE_VIP_REALTIME", "value": "false"} in vip["env"]


def test_a_container_has_bounds(container: Container) -> None:
    resources = container.body["resources"]
    assert {"cpu", "memory"} <= set(resources["requests"])
    assert "memory" in resources["limits"]


def test_only_those_that_work_on_the_node_see_its_network(container: Container) -> None:
    on_node = {"agent", "vip", "cleanup", "clean"}
    assert container.pod.get("hostNetwork", False) is (container.name in on_node)
    assert not {"hostPID", "hostIPC"} & set(container.pod)


def test_of_the_node_only_what_outlives_the_agents_pod_is_mounted(container: Container) -> None:
    volumes = container.pod.get("volumes", [])
    mounted = [volume["hostPath"]["path"] for volume in volumes if "hostPath" in volume]
    assert mounted == (
        ["/run/outgate"] if container.name in ("agent", "vip", "cleanup", "clean") else []
    )


def test_only_those_that_talk_to_the_api_server_have_a_token(rendered: Rendered) -> None:
    def has_token(container: Container) -> bool:
        mounts = {each["mountPath"] for each in container.body.get("volumeMounts", [])}
        return container.pod.get("automountServiceAccountToken", True) or TOKEN in mounts

    having = {name for name, each in rendered.containers().items() if has_token(each)}
    assert having == {"agent", "vip", "controller", "uninstall"}


def rules(rendered: Rendered, component: str, *, kind: str = "ClusterRole") -> Rules:
    """API group and resource → verbs, of one component."""
    found: Rules = {}
    for name, role in rendered.of(kind).items():
        if name == f"outgate-{component}":
            for rule in role["rules"]:
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


READ = {"get", "list", "watch"}


@pytest.mark.parametrize("kind", ["ClusterRole", "Role"])
def test_no_role_has_a_wildcard_a_secret_or_a_way_to_more(rendered: Rendered, kind: str) -> None:
    for role in rendered.of(kind).values():
        for rule in role["rules"]:
            assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])
            assert not {"secrets", "pods/exec", "serviceaccounts/token"} & set(rule["resources"])
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.plural)
def test_the_controller_may_watch_what_it_watches(rendered: Rendered, kind: Kind[Wire]) -> None:
    assert rules(rendered, "controller")[kind.group, kind.plural] >= READ


@pytest.mark.parametrize("component", ["controller", "agent", "uninstall"])
def test_nobody_may_write_what_users_own(rendered: Rendered, component: str) -> None:
    for plural in ("egressgateways", "egresspolicies", "egressclusterpolicies"):
        assert rules(rendered, component).get(("outgate.dev", plural), set()) <= READ


def test_an_agent_may_read_what_it_watches_and_write_one_status(rendered: Rendered) -> None:
    allowed = rules(rendered, "agent")
    watched = set(Stores.__dataclass_fields__)
    assert len(watched) == len([verbs for verbs in allowed.values() if verbs == READ])
    writes = {what: verbs - READ for what, verbs in allowed.items() if verbs - READ}
    assert writes == {("outgate.dev", "egresstunnels/status"): {"patch"}}
    # The Leases of gateways' members: of one namespace, and nothing else in it.
    leases = {"list", "create", "update"}
    assert rules(rendered, "agent", kind="Role") == {("coordination.k8s.io", "leases"): leases}


def test_an_agent_may_speak_for_its_own_node_only(rendered: Rendered) -> None:
    spec = rendered.of("ValidatingAdmissionPolicy")["outgate-agent"]["spec"]
    assert spec["failurePolicy"] == "Fail"
    (rule,) = spec["matchConstraints"]["resourceRules"]
    assert rule["resources"] == ["egresstunnels/status"]
    (condition,) = spec["matchConditions"]
    assert "system:serviceaccount:outgate-system:outgate-agent" in condition["expression"]
    (binding,) = rendered.of("ValidatingAdmissionPolicyBinding").values()
    assert binding["spec"]["policyName"] == "outgate-agent"
    assert binding["spec"]["validationActions"] == ["Deny"]


def test_uninstall_may_delete_what_only_the_controller_owns(rendered: Rendered) -> None:
    allowed = rules(rendered, "uninstall")
    ours = {kind.plural for kind in OURS}
    deletable = {resource for (_, resource), verbs in allowed.items() if "delete" in verbs}
    assert deletable & ours == {kind.plural for kind in CONTROLLERS}


def test_uninstall_may_delete_this_releases_workloads_only(rendered: Rendered) -> None:
    (role,) = [each for name, each in rendered.of("Role").items() if name.endswith("uninstall")]
    deleting: list[dict[str, Any]] = [each for each in role["rules"] if "delete" in each["verbs"]]
    named = {name for rule in deleting for name in rule["resourceNames"]}
    assert named == {"outgate-controller", "outgate-agent", "outgate-cleanup"}


def test_what_uninstall_may_do_it_may_only_while_it_runs(rendered: Rendered) -> None:
    hooks = [
        each["metadata"].get("annotations", {})
        for each in rendered.objects
        if each["metadata"]["name"].endswith("-uninstall")
    ]
    assert len(hooks) == 7
    for hook in hooks:
        assert hook["helm.sh/hook"] == "pre-delete"
        assert "hook-succeeded" in hook["helm.sh/hook-delete-policy"]


def test_two_releases_that_would_fight_for_the_nodes_meet_at_a_name() -> None:
    first, second = (set(render(release=name).of("ClusterRole")) for name in ("one", "two"))
    assert first == second
