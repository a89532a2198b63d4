"""One dual-stack lab for the whole session, with Outgate installed by its chart."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e import nodestate
from e2e.world import CLIENTS, NAMESPACE, NODES, World, pod

from outgate.lab import Families, Lab, Options, product


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is below this folder needs a lab."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def bare_lab() -> Iterator[Lab]:
    """A lab without Outgate. OUTGATE_E2E_KEEP=1 leaves it up for a look."""
    lab = Lab.up(Options(name="e2e", families=Families.DUAL), report=print)
    yield lab
    if not os.environ.get("OUTGATE_E2E_KEEP"):
        lab.down()


@pytest.fixture(scope="session")
def before(bare_lab: Lab) -> dict[str, nodestate.NodeState]:
    """What each node's kernel held before Outgate came."""
    bare_lab.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    servers = [pod(f"server-{node}", node, {"app": "server"}, serve=True) for node in ("gw1", "w1")]
    clients = [
        pod(name, node, {"app": "client", "pod": name})
        for name, node in zip(CLIENTS, NODES, strict=True)
    ]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server", "namespace": NAMESPACE},
        "spec": {
            "selector": {"app": "server"},
            "ports": [{"port": 80, "targetPort": 8080}],
            "ipFamilyPolicy": "RequireDualStack",
        },
    }
    bare_lab.kubectl(
        "wait", "--for=create", "serviceaccount/default", "--namespace", NAMESPACE, "--timeout=30s"
    )
    bare_lab.apply({"apiVersion": "v1", "kind": "List", "items": [*servers, *clients, service]})
    bare_lab.kubectl(
        "wait", "pods", "--all", "--namespace", NAMESPACE, "--for=condition=Ready", "--timeout=60s"
    )
    return {node: nodestate.read(bare_lab, node) for node in NODES}


@pytest.fixture(scope="session")
def world(bare_lab: Lab, before: dict[str, nodestate.NodeState]) -> World:
    """The lab with Outgate installed and the gateway `default` ready."""
    product.install(bare_lab, product.load(bare_lab, print))
    made = World(bare_lab)
    gateway = {
        "apiVersion": "outgate.dev/v1beta1",
        "kind": "EgressGateway",
        "metadata": {"name": "default"},
        "spec": {
            "ippools": {
                "ipv4": ["172.30.0.100-172.30.0.119"],
                "ipv6": ["fd00:30::100-fd00:30::11f"],
                "ipv4DefaultEIP": "172.30.0.110",
                "ipv6DefaultEIP": "fd00:30::110",
                "reserved": ["172.30.0.119", "fd00:30::11f"],
            },
            "nodeSelector": {"selector": {"matchLabels": {"egressgateway": "true"}}},
        },
    }
    made.apply(gateway)
    made.wait_condition(gateway)
    return made
