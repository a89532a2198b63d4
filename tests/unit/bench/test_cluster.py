from typing import Any

import pytest
import yaml

from bench.cluster import CRDS, runnable, with_status


def crd(plural: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CRDS / f"outgate.dev_{plural}.yaml").read_text())
    return with_status(loaded)


def test_a_policy_is_created_with_its_status() -> None:
    (version,) = crd("egresspolicies")["spec"]["versions"]
    assert "subresources" not in version


def test_a_tunnels_status_stays_apart_as_its_agent_writes_it() -> None:
    (version,) = crd("egresstunnels")["spec"]["versions"]
    assert version["subresources"] == {"status": {}}


@pytest.mark.parametrize("field", ["nodeName", "containers"])
def test_a_pod_keeps_its_node_and_gets_a_container(field: str) -> None:
    assert runnable({"spec": {"nodeName": "node-a"}})["spec"][field]
