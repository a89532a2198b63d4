from collections.abc import Sequence

import pytest

from outgate.api.core import Node, NodeCondition, NodeStatus
from outgate.api.meta import ObjectMeta
from outgate.cli.rollout import (
    ContainerState,
    ContainerStatus,
    DaemonSet,
    DaemonSetStatus,
    Pod,
    PodSpec,
    PodStatus,
    Progress,
    Waiting,
    coming,
    leaving,
)


def node(name: str, ready: str = "True") -> Node:
    status = NodeStatus(conditions=(NodeCondition(type="Ready", status=ready),))
    return Node(metadata=ObjectMeta(name=name), status=status)


def pod(on: str, *, ready: bool = False, reasons: Sequence[str] = ()) -> Pod:
    waiting = tuple(
        ContainerStatus(state=ContainerState(waiting=Waiting(reason=reason))) for reason in reasons
    )
    conditions = (NodeCondition(type="Ready", status="True" if ready else "False"),)
    return Pod(
        metadata=ObjectMeta(name=f"cleanup-{on or 'x'}"),
        spec=PodSpec(node_name=on),
        status=PodStatus(conditions=conditions, container_statuses=waiting),
    )


def daemon_set(desired: int, *, generation: int = 1, observed: int = 1) -> DaemonSet:
    return DaemonSet(
        metadata=ObjectMeta(name="cleanup", generation=generation),
        status=DaemonSetStatus(desired_number_scheduled=desired, observed_generation=observed),
    )


NODES = (node("n1"), node("n2"), node("gone", "Unknown"))


def test_pods_that_are_still_there_are_waited_for_on_nodes_that_answer() -> None:
    found = leaving([pod("n1"), pod("gone"), pod("")], nodes=NODES)
    assert found == Progress(waiting=frozenset({"n1"}), away=frozenset({"gone"}))


def test_nothing_is_left_once_all_pods_are_gone() -> None:
    assert leaving([], nodes=NODES) == Progress()


def test_a_pod_of_a_deleted_node_is_not_waited_for() -> None:
    assert leaving([pod("deleted")], nodes=NODES).waiting == frozenset()


def test_all_ready_pods_of_a_daemon_set_are_the_end() -> None:
    pods = [pod("n1", ready=True), pod("n2", ready=True)]
    assert coming(daemon_set(2), pods, nodes=NODES) == Progress()


def test_a_node_that_is_not_ready_is_named_and_not_waited_for() -> None:
    pods = [pod("n1", ready=True), pod("n2", ready=True), pod("gone")]
    assert coming(daemon_set(3), pods, nodes=NODES) == Progress(away=frozenset({"gone"}))


@pytest.mark.parametrize(
    "seen", [daemon_set(0, generation=1, observed=0), daemon_set(2, generation=1, observed=1)]
)
def test_pods_that_are_not_made_yet_are_waited_for(seen: DaemonSet) -> None:
    pods = [pod("n1", ready=True)] if seen.status.desired_number_scheduled else []
    assert coming(seen, pods, nodes=NODES).waiting == {"pods that are not made yet"}


def test_a_pod_that_hangs_is_named_by_its_node_and_its_first_reason() -> None:
    pods = [pod("n1", ready=True), pod("n2", reasons=["ImagePullBackOff", "PodInitializing"])]
    assert coming(daemon_set(2), pods, nodes=NODES).waiting == {"n2 (ImagePullBackOff)"}


def test_a_pod_that_is_scheduled_nowhere_is_named_by_itself() -> None:
    waiting = coming(daemon_set(1), [pod("")], nodes=NODES).waiting
    assert waiting == {"cleanup-x (scheduled nowhere)"}
