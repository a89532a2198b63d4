"""`outgate uninstall`: takes Outgate off every node, before helm takes away the rest.

Stops controller and agents first, or they would put back what is removed. Users' gateways and
policies stay as they are, statuses included: a new installation gives out the same addresses.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec

from outgate.api.clusterinfo import CLUSTER_INFO_NAME
from outgate.api.core import Node
from outgate.api.kinds import (
    EGRESS_CLUSTER_ENDPOINT_SLICE,
    EGRESS_CLUSTER_INFO,
    EGRESS_ENDPOINT_SLICE,
    EGRESS_TUNNEL,
    LEASE,
    NODE,
    Kind,
)
from outgate.api.meta import Wire
from outgate.cli.rollout import (
    DAEMON_SET,
    DEPLOYMENT,
    POD,
    Pod,
    Progress,
    coming,
    leaving,
)
from outgate.kube.api import Api
from outgate.kube.errors import ApiError, ApiNotFound, ApiUnavailable

CONTROLLERS: tuple[Kind[Wire], ...] = (
    EGRESS_TUNNEL,
    EGRESS_ENDPOINT_SLICE,
    EGRESS_CLUSTER_ENDPOINT_SLICE,
)
"""What only the controller makes."""

CONTROLLER_MANAGER = "outgate-controller"
"""Field manager of the controller's statuses: what it no longer applies is removed."""

COMPONENT = "app.kubernetes.io/component"
INSTANCE = "app.kubernetes.io/instance"
NAME = "app.kubernetes.io/name"

PAUSE = 0.5
"""Seconds between two looks."""


class NotUninstalled(Exception):
    """Something could not be removed; the text says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Release:
    """What the chart made, and how its nodes are cleaned.

    name: what the workloads' names begin with. cleanup: the DaemonSet that cleans, without kind.
    """

    namespace: str
    name: str
    cleanup: Mapping[str, Any]

    def selector(self, *components: str) -> str:
        """A label selector of the pods of these components, in this release only."""
        labels = self.cleanup["metadata"]["labels"]
        return (
            f"{NAME}={labels[NAME]},{INSTANCE}={labels[INSTANCE]}"
            f",{COMPONENT} in ({', '.join(components)})"
        )


class Uninstaller:
    """Does it, step by step; each step may be repeated, so a killed run is begun again.

    deadline: by `clock`. say: tells the user.
    """

    def __init__(
        self,
        api: Api,
        release: Release,
        *,
        deadline: float,
        say: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._api = api
        self._release = release
        self._deadline = deadline
        self._say = say
        self._clock = clock
        self._pause = pause

    def run(self) -> None:
        """Uninstall. Raises NotUninstalled, and ApiError if the API server refuses."""
        self.stop()
        self.clean()
        self.tidy()

    def stop(self) -> None:
        """Remove what would put everything back, and what an earlier attempt has left."""
        name, namespace = self._release.name, self._release.namespace
        self._api.delete(DEPLOYMENT, f"{name}-controller", namespace=namespace)
        self._api.delete(DAEMON_SET, f"{name}-agent", namespace=namespace)
        self._api.delete(DAEMON_SET, f"{name}-cleanup", namespace=namespace)
        selector = self._release.selector("controller", "agent", "cleanup")
        away = self._wait("stopped", lambda: leaving(self._pods(selector), nodes=self._nodes()))
        self._say("controller and agents are stopped" + _but(away))

    def clean(self) -> None:
        """Have every node cleaned; those that are not Ready are named, on the Node object too."""
        name, namespace = self._release.name, self._release.namespace
        made = self._api.create(DAEMON_SET, self._release.cleanup)
        selector = self._release.selector("cleanup")

        def progress() -> Progress:
            daemon_set = self._api.get(DAEMON_SET, made.metadata.name, namespace=namespace)
            if daemon_set is None:
                raise NotUninstalled(f"somebody deleted {made.metadata.name}: try again")
            return coming(daemon_set, self._pods(selector), nodes=self._nodes())

        away = self._wait("clean", progress)
        self._say("the nodes are clean" + _but(away))
        self._mark(away)
        self._api.delete(DAEMON_SET, f"{name}-cleanup", namespace=namespace)

    def tidy(self) -> None:
        """Delete what only the controller owns. Kinds whose CRD is gone have no objects."""
        for kind in CONTROLLERS:
            count = self._delete_all(kind)
            self._say(f"{count} {kind.plural} deleted")
        # To agents this is as good as no status: the next ones wait for the next controller's. An
        # empty one would be refused: the server makes null of it.
        nothing_known: Mapping[str, Any] = {"status": {"networks": []}}
        try:
            self._api.apply(
                EGRESS_CLUSTER_INFO,
                CLUSTER_INFO_NAME,
                nothing_known,
                manager=CONTROLLER_MANAGER,
                subresource="status",
            )
        except ApiNotFound:
            self._say("there is no EgressClusterInfo")
        lease = f"{self._release.name}-controller"
        self._api.delete(LEASE, lease, namespace=self._release.namespace)

    def _delete_all(self, kind: Kind[Wire]) -> int:
        try:
            pages = [raw for page in self._api.pages(kind) for raw in page.items]
        except ApiNotFound:
            return 0
        for raw in pages:
            meta = msgspec.json.decode(raw)["metadata"]
            self._api.delete(kind, meta["name"], namespace=meta.get("namespace", ""))
        return len(pages)

    def _wait(self, what: str, progress: Callable[[], Progress]) -> frozenset[str]:
        """Wait until nothing is to come any more; the nodes that could not be waited for."""
        waiting: frozenset[str] = frozenset()
        while True:
            try:
                now = progress()
                if not now.waiting:
                    return now.away
                if now.waiting != waiting:
                    self._say(f"not {what} yet: {_names(now.waiting)}")
                waiting = now.waiting
            except ApiUnavailable as error:
                waiting = frozenset([str(error)])
            if self._clock() >= self._deadline:
                raise NotUninstalled(
                    f"not {what} in time: {_names(waiting)}. Run helm uninstall again once that is "
                    f"mended; with a longer --timeout and uninstall.timeoutSeconds if it is slow; "
                    f"or with --no-hooks, and `outgate-agent --cleanup` on each node by hand"
                )
            self._pause(PAUSE)

    def _mark(self, away: frozenset[str]) -> None:
        for node in self._nodes():
            if node.metadata.name in away:
                self._api.event(
                    NODE,
                    node,
                    type="Warning",
                    reason="OutgateNotCleaned",
                    message="Outgate was uninstalled while this node was not Ready: reboot it, or "
                    "run `outgate-agent --cleanup` on it",
                    component="outgate-uninstall",
                )

    def _pods(self, selector: str) -> list[Pod]:
        pods, _ = self._api.list(POD, namespace=self._release.namespace, label_selector=selector)
        return pods

    def _nodes(self) -> list[Node]:
        return self._api.list(NODE)[0]


def _but(away: frozenset[str]) -> str:
    return f", but for those that are not Ready: {_names(away)}" if away else ""


def _names(names: frozenset[str]) -> str:
    shown = sorted(names)
    more = f" and {len(shown) - 20} more" if len(shown) > 20 else ""
    return ", ".join(shown[:20]) + more


@click.command()
@click.option("--namespace", required=True, help="Namespace of the release.")
@click.option("--name", required=True, help="What the names of the release's workloads begin with.")
@click.option(
    "--cleanup",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON of the DaemonSet that cleans the nodes.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=180.0,
    show_default=True,
    help="Seconds that it may take.",
)
@click.option("--kubeconfig", default=None, help="Outside of a cluster: how to reach it.")
def uninstall(
    namespace: str, name: str, cleanup: Path, timeout: float, kubeconfig: str | None
) -> None:
    """Stop Outgate, clean every node, leave gateways and policies alone. Run by the chart."""
    # The Kubernetes client takes a second to import, --help does not need it.
    from outgate.kube.client import Client

    try:
        release = Release(namespace, name, msgspec.json.decode(cleanup.read_bytes()))
        api = Client.connect(kubeconfig)
        deadline = time.monotonic() + timeout
        Uninstaller(api, release, deadline=deadline, say=click.echo).run()
    except (NotUninstalled, ApiError) as error:
        raise click.ClickException(str(error)) from error
