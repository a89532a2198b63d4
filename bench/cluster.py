"""A real API server beside a node, and objects by the thousand in it.

etcd and kube-apiserver run in the node's own namespace, where its processes reach them as those
in a pod do: by the files of a service account. No controller runs: what it would have written,
status included, is written here.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml
from apiserver.harness import TOKEN, ApiServer
from pyroute2 import netns

from bench import ROOT
from bench.netns import Namespace
from outgate.api.kinds import EGRESS_TUNNEL, POD, Kind
from outgate.api.meta import Wire
from outgate.daemon.closing import Closing
from outgate.kube.client import Client

CRDS = ROOT / "charts" / "outgate" / "crds"

WRITERS = 8
"""Requests at a time: more than two CPUs can serve."""

STATUS_APART = (POD, EGRESS_TUNNEL)
"""What the agents of others, and the agent itself, report about: written in a second request."""

T = TypeVar("T")


class Cluster(Closing):
    """An API server that knows our kinds, and has no object of them.

    account: the folder of the service account. client: for threads inside the namespace only.
    """

    def __init__(self, namespace: Namespace, folder: Path) -> None:
        self._namespace = namespace
        self._server = ApiServer(namespace.name, folder)
        self.account = folder / "account"
        try:
            # Not in a thread made for it: what a thread starts is killed when that thread ends.
            netns.pushns(namespace.name)
            try:
                self._server.start()
            finally:
                netns.popns()
            self._install(folder)
        except BaseException:
            self.close()
            raise
        self.client = Client.connect(self._server.kubeconfig)

    def _install(self, folder: Path) -> None:
        crds = folder / "crds.yaml"
        documents = (yaml.safe_load(path.read_text()) for path in sorted(CRDS.glob("*.yaml")))
        crds.write_text(yaml.safe_dump_all(map(with_status, documents)))
        self._server.kubectl("create", "--filename", str(crds))
        self._server.kubectl("wait", "--for=condition=Established", "crd", "--all")
        self.account.mkdir()
        self.account.joinpath("token").write_text(TOKEN)
        self.account.joinpath("namespace").write_text("outgate-system")
        shutil.copy(folder / "certs" / "apiserver.crt", self.account / "ca.crt")

    def close(self) -> None:
        """Kill it."""
        self._server.close()

    def create(self, kind: Kind[Wire], bodies: Iterable[Any]) -> None:
        """Create objects (wire values or JSON), in whatever order, with their status."""
        self.each(bodies, lambda body: self._create(kind, msgspec.to_builtins(body)))

    def each(self, items: Iterable[T], act: Callable[[T], object]) -> None:
        """Do something about each, several at a time, where the API server is reached."""

        def work() -> None:
            with ThreadPoolExecutor(WRITERS) as pool:
                for _ in pool.map(act, items):
                    pass  # what failed is raised here

        self._namespace.inside(work)

    def _create(self, kind: Kind[Wire], body: Mapping[str, Any]) -> None:
        self.client.create(kind, runnable(body) if kind is POD else body)
        if kind in STATUS_APART and "status" in body:
            self.write_status(kind, body)

    def delete(self, kind: Kind[Wire], name: str) -> None:
        """Delete an object without a namespace."""
        self._namespace.inside(lambda: self.client.delete(kind, name))

    def write_status(self, kind: Kind[Wire], body: Mapping[str, Any]) -> None:
        """Write an object's status; from a thread inside the namespace."""
        metadata = body["metadata"]
        self.client.apply(
            kind,
            metadata["name"],
            {"status": body["status"]},
            namespace=metadata.get("namespace", ""),
            manager="bench",
            subresource="status",
        )


def with_status(crd: dict[str, Any]) -> dict[str, Any]:
    """The CRD, changed so that status is created with the object, for all kinds but some.

    Who watches them sees no difference; filling the API server takes half as long.
    """
    if crd["spec"]["names"]["plural"] in (kind.plural for kind in STATUS_APART):
        return crd
    for version in crd["spec"]["versions"]:
        version.pop("subresources", None)
    return crd


def runnable(pod: Mapping[str, Any]) -> dict[str, Any]:
    """A pod with what the API server insists on; our values leave that out."""
    container = {"name": "main", "image": "registry.example/main"}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0, **pod["spec"]}
    return {**pod, "spec": spec}
