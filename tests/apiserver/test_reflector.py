import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from apiserver.harness import ApiServer, until

from outgate.api.clusterinfo import EgressClusterInfo
from outgate.api.core import CalicoIPPool, ConfigMap, Pod
from outgate.api.kinds import CALICO_IP_POOL, CONFIG_MAP, EGRESS_CLUSTER_INFO, POD
from outgate.daemon.backoff import Backoff
from outgate.kube.client import Client
from outgate.kube.store import Store
from outgate.kube.watch import Reflector

pytestmark = pytest.mark.kernel

QUICK = Backoff(first=0.05, most=0.5)


@contextmanager
def running(*reflectors: Reflector[Any]) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=each.run, args=(stop,)) for each in reflectors]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(5)
            assert not thread.is_alive(), "a reflector did not stop"


def put(client: Client, namespace: str, name: str, **data: str) -> None:
    client.apply(CONFIG_MAP, name, {"data": data}, namespace=namespace, manager="tests")


def data_of(store: Store[ConfigMap]) -> dict[str, dict[str, str]]:
    return {name: value.data for (_, name), value in store.snapshot().items()}


def test_the_store_follows_what_is_there_and_what_happens(client: Client, namespace: str) -> None:
    put(client, namespace, "a", key="1")
    store: Store[ConfigMap] = Store()
    with running(Reflector(client, CONFIG_MAP, store, namespace=namespace)):
        assert store.wait_synced(10)
        assert data_of(store) == {"a": {"key": "1"}}
        put(client, namespace, "a", key="2")
        put(client, namespace, "b")
        until("both are seen", lambda: data_of(store) == {"a": {"key": "2"}, "b": {}})
        client.delete(CONFIG_MAP, "a", namespace=namespace)
        until("one is gone", lambda: data_of(store) == {"b": {}})


def test_the_store_keeps_what_it_knows_while_the_server_is_away_and_catches_up(
    apiserver: ApiServer, client: Client, namespace: str
) -> None:
    put(client, namespace, "a")
    store: Store[ConfigMap] = Store()
    with running(Reflector(client, CONFIG_MAP, store, namespace=namespace, backoff=QUICK)):
        assert store.wait_synced(10)
        apiserver.stop()
        assert data_of(store) == {"a": {}}
        apiserver.start()
        put(client, namespace, "b")
        until("it has caught up", lambda: data_of(store) == {"a": {}, "b": {}})


def test_the_store_is_right_after_the_server_has_forgotten_where_it_was(
    apiserver: ApiServer, client: Client, namespace: str
) -> None:
    put(client, namespace, "a")
    put(client, namespace, "b", key="old")
    store: Store[ConfigMap] = Store()
    reflector = Reflector(client, CONFIG_MAP, store, namespace=namespace, backoff=QUICK)
    with running(reflector):
        assert store.wait_synced(10)
        # The process hangs while things change, are forgotten, and the server starts anew.
        apiserver.stop()
    apiserver.start()
    client.delete(CONFIG_MAP, "a", namespace=namespace)
    put(client, namespace, "b", key="new")
    put(client, namespace, "c")
    apiserver.compact()
    apiserver.stop()
    apiserver.start()
    with running(reflector):
        until("it has listed", lambda: data_of(store) == {"b": {"key": "new"}, "c": {}})


def test_a_field_selector_follows_the_pods_of_one_node(client: Client, namespace: str) -> None:
    store: Store[Pod] = Store()
    mine = Reflector(
        client, POD, store, field_selector="spec.nodeName=node-a", from_cache=True, backoff=QUICK
    )
    with running(mine):
        assert store.wait_synced(10)
        for name, node in (("a", "node-a"), ("b", "node-b")):
            client.create(
                POD,
                {
                    "metadata": {"name": name, "namespace": namespace},
                    "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]},
                },
            )
        until("mine is seen", lambda: (namespace, "a") in store.snapshot())
        status = {"phase": "Running", "podIP": "192.0.2.1", "podIPs": [{"ip": "192.0.2.1"}]}
        client.apply(
            POD, "a", {"status": status}, namespace=namespace, manager="t", subresource="status"
        )
        until(
            "its address is seen",
            lambda: (
                [ip.ip for pod in store.snapshot().values() for ip in pod.status.pod_ips]
                == ["192.0.2.1"]
            ),
        )
        assert set(store.snapshot()) == {(namespace, "a")}


def test_a_label_that_is_taken_away_takes_the_object_out_of_the_store(
    client: Client, namespace: str
) -> None:
    def label(value: str) -> None:
        body = {"metadata": {"labels": {"app": value}}}
        client.apply(CONFIG_MAP, "a", body, namespace=namespace, manager="tests")

    label("wanted")
    store: Store[ConfigMap] = Store()
    with running(Reflector(client, CONFIG_MAP, store, label_selector="app=wanted")):
        assert store.wait_synced(10)
        assert len(store) == 1
        label("other")
        until("it is out", lambda: len(store) == 0)
        label("wanted")
        until("it is back", lambda: len(store) == 1)


def test_a_kind_that_is_not_installed_counts_as_empty(client: Client) -> None:
    store: Store[CalicoIPPool] = Store()
    reflector = Reflector(client, CALICO_IP_POOL, store)
    with running(reflector):
        assert store.wait_synced(10)
        assert reflector.absent
        assert len(store) == 0


def test_a_status_that_was_applied_comes_back(crds: None, client: Client) -> None:
    client.create(EGRESS_CLUSTER_INFO, {"metadata": {"name": "default"}})
    store: Store[EgressClusterInfo] = Store()
    with running(Reflector(client, EGRESS_CLUSTER_INFO, store)):
        assert store.wait_synced(10)
        written = client.apply(
            EGRESS_CLUSTER_INFO,
            "default",
            {"status": {"networks": [{"cidr": "192.0.2.0/24", "source": "Extra"}]}},
            manager="tests",
            subresource="status",
        )
        until("it is seen", lambda: store.get("default") == written)
