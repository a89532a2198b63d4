"""A real API server for the tests of this folder.

Started once for all of them (some 5 s); every test runs inside its network namespace, in a
Kubernetes namespace of its own, and finds no object of ours, nor a node.
"""

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from apiserver.harness import ApiServer
from pyroute2 import netns

from outgate.api.kinds import LEASE, NAMESPACE, NODE, OURS, Kind
from outgate.api.meta import Wire
from outgate.kube.client import Client
from outgate.kube.errors import ApiNotFound
from outgate.kube.wire import decode_meta

CRDS = Path(__file__).parents[2] / "charts" / "outgate" / "crds"


@pytest.fixture(scope="session")
def apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    namespace = f"outgate-api-{secrets.token_hex(4)}"
    netns.create(namespace)
    server = ApiServer(namespace, tmp_path_factory.mktemp("apiserver"))
    try:
        subprocess.run(["ip", "-n", namespace, "link", "set", "lo", "up"], check=True)
        netns.pushns(namespace)
        try:
            server.start()
        finally:
            netns.popns()
        yield server
    finally:
        server.close()
        netns.remove(namespace)


@pytest.fixture(autouse=True)
def inside(apiserver: ApiServer) -> Iterator[None]:
    """Run the test in the server's network namespace: threads that it starts are there, too."""
    netns.pushns(apiserver.namespace)
    try:
        apiserver.start()
        yield
    finally:
        netns.popns()


@pytest.fixture
def client(apiserver: ApiServer, inside: None) -> Iterator[Client]:
    """A client of its own for each test, which ends with no object of ours, nor a node, left."""
    client = Client.connect(apiserver.kubeconfig)
    yield client
    apiserver.start()
    for kind in (*OURS, NODE, LEASE):
        _delete_all(client, kind)
    client.close()


@pytest.fixture
def namespace(client: Client) -> str:
    """A Kubernetes namespace that no other test has."""
    name = f"test-{secrets.token_hex(4)}"
    client.create(NAMESPACE, {"metadata": {"name": name}})
    return name


@pytest.fixture(scope="session")
def crds(apiserver: ApiServer) -> None:
    """Our kinds, as the chart installs them."""
    apiserver.kubectl("apply", "--server-side", "-f", str(CRDS))
    apiserver.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")


def _delete_all(client: Client, kind: Kind[Wire]) -> None:
    try:
        metas = [decode_meta(raw) for page in client.pages(kind) for raw in page.items]
    except ApiNotFound:
        return  # a kind whose CRD is not installed
    for meta in metas:
        client.delete(kind, meta.name, namespace=meta.namespace)
