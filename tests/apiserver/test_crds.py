"""The CRDs as a real API server has them: taken, complete, shown well, and right about examples."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from apiserver.harness import ApiServer
from apiserver.objects import gateway, policy, tunnel

from outgate.api.kinds import (
    EGRESS_CLUSTER_INFO,
    EGRESS_CLUSTER_POLICY,
    EGRESS_GATEWAY,
    EGRESS_POLICY,
    EGRESS_TUNNEL,
    NAMESPACE,
    OURS,
)
from outgate.api.policy import EgressIP
from outgate.kube.client import Client

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("crds")]

EXAMPLES = Path(__file__).parents[2] / "examples"
TEAMS = ("team-a", "team-b", "team-c")


def kubectl_yaml(apiserver: ApiServer, *arguments: str) -> Any:
    return yaml.safe_load(apiserver.kubectl(*arguments, "-o", "yaml"))


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.name)
def test_a_kind_is_established_and_structural(apiserver: ApiServer, kind: Any) -> None:
    found = kubectl_yaml(apiserver, "get", "crd", f"{kind.plural}.{kind.group}")
    conditions = {c["type"]: c["status"] for c in found["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize(
    ("short", "kind"),
    {
        "egw": "EgressGateway",
        "egp": "EgressPolicy",
        "egcp": "EgressClusterPolicy",
        "egt": "EgressTunnel",
        "eges": "EgressEndpointSlice",
        "egces": "EgressClusterEndpointSlice",
        "egci": "EgressClusterInfo",
    }.items(),
)
def test_a_kind_goes_by_its_short_name(apiserver: ApiServer, short: str, kind: str) -> None:
    # Discovery, not `kubectl explain`: the schemas that it reads are published a moment later.
    listed = json.loads(apiserver.kubectl("get", "--raw", "/apis/outgate.dev/v1beta1"))
    kinds = {name: r["kind"] for r in listed["resources"] for name in r.get("shortNames", ())}
    assert kinds[short] == kind


def test_defaults_are_those_of_the_typed_values(client: Client) -> None:
    sparse = policy(egressIP={"ipv4": "192.0.2.10"})
    stored = client.create(EGRESS_POLICY, sparse)
    assert stored.spec.egress_ip == EgressIP(ipv4="192.0.2.10")
    assert client.create(EGRESS_GATEWAY, gateway()).spec.cluster_default is False
    assert client.create(EGRESS_TUNNEL, tunnel()).spec.mark == 0


def test_defaults_are_shown_to_users(apiserver: ApiServer, client: Client) -> None:
    client.create(EGRESS_POLICY, policy())
    shown = kubectl_yaml(apiserver, "get", "egp", "test", "--namespace", "default")
    assert shown["spec"]["egressIP"] == {
        "allocatorPolicy": "default",
        "count": 1,
        "useNodeIP": False,
    }


def test_users_cannot_write_a_status_with_the_spec(client: Client) -> None:
    stored = client.create(EGRESS_POLICY, {**policy(), "status": {"gateway": "other"}})
    assert stored.status.gateway == ""


def test_a_policy_is_shown_with_gateway_addresses_and_node(
    apiserver: ApiServer, client: Client
) -> None:
    client.create(EGRESS_POLICY, policy())
    apiserver.kubectl(
        "patch",
        "egp",
        "test",
        "--namespace=default",
        "--subresource=status",
        "--type=merge",
        '--patch={"status": {"gateway": "default", "eip": {"ipv4": "192.0.2.10"}, "node": "gw1",'
        ' "matchedPods": 2, "conditions": [{"type": "Ready", "status": "True",'
        ' "reason": "Assigned"}]}}',
    )
    header, row = apiserver.kubectl("get", "egp", "--namespace=default").splitlines()
    assert header.split() == ["NAME", "GATEWAY", "IPV4", "IPV6", "NODE", "PODS", "READY", "AGE"]
    assert row.split()[:-1] == ["test", "default", "192.0.2.10", "gw1", "2", "True"]


def test_every_field_that_users_write_is_explained(apiserver: ApiServer) -> None:
    said = apiserver.kubectl("explain", "egw.spec.ippools")
    assert "ranges a-b (both ends belong to it), CIDRs" in said
    assert "leave with the gateway node's own address" in (
        apiserver.kubectl("explain", "egp.spec.egressIP.useNodeIP").lower()
    )


def test_all_examples_are_taken_at_once(apiserver: ApiServer, client: Client) -> None:
    apiserver.kubectl("apply", "--validate=strict", "-f", str(EXAMPLES))
    try:
        gateways, _ = client.list(EGRESS_GATEWAY)
        policies, _ = client.list(EGRESS_POLICY)
        cluster_policies, _ = client.list(EGRESS_CLUSTER_POLICY)
        assert [g.metadata.name for g in gateways if g.spec.cluster_default] == ["cluster-default"]
        specs = [p.spec for p in policies] + [p.spec for p in cluster_policies]
        assert {spec.egress_gateway_name for spec in specs} == {"", "default", "dual-stack"}
        assert {p.metadata.name: p.spec.egress_ip for p in policies}["use-node-ip"].use_node_ip
        assert client.get(EGRESS_CLUSTER_INFO, "default") is not None
    finally:
        apiserver.kubectl("delete", "--wait=false", "--now", "-f", str(EXAMPLES))
        assert all(client.get(NAMESPACE, team) for team in TEAMS)
