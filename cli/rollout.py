"""How far the pods of a workload are, node by node: those that have to go, those that have to come.

Pure. A node that is not Ready answers nobody: it is named, and not waited for.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from outgate.api.core import Node, NodeCondition
from outgate.api.kinds import Kind
from outgate.api.meta import ObjectMeta, Wire


class Waiting(Wire, frozen=True, kw_only=True):
    """Why a container does not run."""

    reason: str = ""


class ContainerState(Wire, frozen=True, kw_only=True):
    """The part of a container's state that says what it waits for."""

    waiting: Waiting | None = None


class ContainerStatus(Wire, frozen=True, kw_only=True):
    """One container of a pod."""

    state: ContainerState = ContainerState()


class PodSpec(Wire, frozen=True, kw_only=True):
    """Where the pod is; empty as long as it is nowhere."""

    node_name: str = ""


class PodStatus(Wire, frozen=True, kw_only=True):
    """Whether the pod is ready, or what its containers wait for."""

    conditions: tuple[NodeCondition, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Wire, frozen=True, kw_only=True):
    """A pod as a workload's part; `outgate.api.core.Pod` is the one that sends traffic."""

    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class DaemonSetStatus(Wire, frozen=True, kw_only=True):
    """How many nodes shall have a pod, by which generation of the spec."""

    desired_number_scheduled: int = 0
    observed_generation: int = 0


class DaemonSet(Wire, frozen=True, kw_only=True):
    """apps/v1 DaemonSet."""

    metadata: ObjectMeta
    status: DaemonSetStatus = DaemonSetStatus()


class Deployment(Wire, frozen=True, kw_only=True):
    """apps/v1 Deployment: there or not."""

    metadata: ObjectMeta


POD = Kind("", "v1", "pods", "Pod", True, Pod)
DAEMON_SET = Kind("apps", "v1", "daemonsets", "DaemonSet", True, DaemonSet)
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment", True, Deployment)


@dataclass(frozen=True, slots=True)
class Progress:
    """What is still to come, in words that name nodes; and the nodes that are not Ready."""

    waiting: frozenset[str] = frozenset()
    away: frozenset[str] = frozenset()


def leaving(pods: Iterable[Pod], *, nodes: Iterable[Node]) -> Progress:
    """Pods that have to go: every one that is still there."""
    ready = ready_nodes(nodes)
    names = {pod.spec.node_name for pod in pods}
    # A pod that is on no node yet has done nothing, and is deleted at once.
    return Progress(frozenset(names & ready), frozenset(names - ready - {""}))


def coming(daemon_set: DaemonSet, pods: Iterable[Pod], *, nodes: Iterable[Node]) -> Progress:
    """Pods of a DaemonSet that have to be ready, one on each of its nodes."""
    ready = ready_nodes(nodes)
    status, known = daemon_set.status, list(pods)
    waiting: set[str] = set()
    away: set[str] = set()
    if (
        status.observed_generation < daemon_set.metadata.generation
        or len(known) < status.desired_number_scheduled
    ):
        waiting.add("pods that are not made yet")
    for pod in known:
        node = pod.spec.node_name
        if _is(pod.status.conditions, "Ready"):
            continue
        if node and node not in ready:
            away.add(node)
        else:
            waiting.add(f"{node or pod.metadata.name}{_why(pod)}")
    return Progress(frozenset(waiting), frozenset(away))


def ready_nodes(nodes: Iterable[Node]) -> frozenset[str]:
    """Names of the nodes whose kubelet answers."""
    return frozenset(node.metadata.name for node in nodes if _is(node.status.conditions, "Ready"))


def _is(conditions: Iterable[NodeCondition], type_: str) -> bool:
    return any(one.type == type_ and one.status == "True" for one in conditions)


def _why(pod: Pod) -> str:
    if not pod.spec.node_name:
        return " (scheduled nowhere)"
    containers = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    reasons = [one.state.waiting.reason for one in containers if one.state.waiting]
    # The containers behind the one that hangs wait, too: PodInitializing.
    return f" ({reasons[0]})" if reasons else ""
