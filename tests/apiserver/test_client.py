import pytest
from apiserver.harness import ApiServer

from outgate.api.kinds import (
    CALICO_IP_POOL,
    CONFIG_MAP,
    EGRESS_CLUSTER_INFO,
    NAMESPACE,
    NODE,
    POD,
)
from outgate.kube.api import Api
from outgate.kube.client import Client
from outgate.kube.errors import (
    ApiConflict,
    ApiExpired,
    ApiNotFound,
    ApiRefused,
    ApiUnavailable,
)
from outgate.kube.events import EVENT
from outgate.kube.fake import FakeApi
from outgate.kube.wire import decode_meta

pytestmark = pytest.mark.kernel


def config(name: str, namespace: str, **data: str) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": namespace}, "data": data}


@pytest.fixture(params=["real", "fake"])
def api(request: pytest.FixtureRequest, client: Client) -> Api:
    """The fake has to do as the real one does, or what is tested with it is worth nothing."""
    return client if request.param == "real" else FakeApi()


def test_an_object_is_created_read_and_deleted(api: Api, namespace: str) -> None:
    created = api.create(CONFIG_MAP, config("a", namespace, key="value"))

    assert api.get(CONFIG_MAP, "a", namespace=namespace) == created
    assert api.delete(CONFIG_MAP, "a", namespace=namespace)
    assert api.get(CONFIG_MAP, "a", namespace=namespace) is None
    assert not api.delete(CONFIG_MAP, "a", namespace=namespace)


def test_a_second_object_of_a_name_is_a_conflict(api: Api, namespace: str) -> None:
    api.create(CONFIG_MAP, config("a", namespace))
    with pytest.raises(ApiConflict, match="already exists"):
        api.create(CONFIG_MAP, config("a", namespace))


def test_replacing_an_older_version_is_a_conflict(api: Api, namespace: str) -> None:
    old = api.create(CONFIG_MAP, config("a", namespace, key="1"))
    new = api.replace(CONFIG_MAP, {"metadata": old.metadata, "data": {"key": "2"}})
    with pytest.raises(ApiConflict):
        api.replace(CONFIG_MAP, {"metadata": old.metadata, "data": {"key": "3"}})
    assert api.get(CONFIG_MAP, "a", namespace=namespace) == new


def test_replacing_what_is_gone_is_not_found(api: Api, namespace: str) -> None:
    with pytest.raises(ApiNotFound):
        api.replace(CONFIG_MAP, config("a", namespace))


def test_deleting_another_object_of_that_name_is_a_conflict(api: Api, namespace: str) -> None:
    api.create(CONFIG_MAP, config("a", namespace))
    with pytest.raises(ApiConflict):
        api.delete(CONFIG_MAP, "a", namespace=namespace, uid="another")


def test_a_list_of_many_pages_is_whole(api: Api, namespace: str) -> None:
    for number in range(7):
        api.create(CONFIG_MAP, config(f"c{number}", namespace))
    values, version = api.list(CONFIG_MAP, namespace=namespace, limit=3)
    assert [value.metadata.name for value in values] == [f"c{number}" for number in range(7)]
    assert int(version) > 0


def test_selectors_reach_the_server(api: Api, namespace: str) -> None:
    for name in ("a", "b"):
        body = {"metadata": {"name": name, "namespace": namespace, "labels": {"app": name}}}
        api.create(CONFIG_MAP, body)
    by_label, _ = api.list(CONFIG_MAP, namespace=namespace, label_selector="app=a")
    by_field, _ = api.list(CONFIG_MAP, namespace=namespace, field_selector="metadata.name=b")
    assert [value.metadata.name for value in by_label] == ["a"]
    assert [value.metadata.name for value in by_field] == ["b"]


def test_apply_creates_changes_and_takes_back(api: Api, namespace: str) -> None:
    def apply(manager: str, *, force: bool = True, **data: str) -> dict[str, str]:
        body = {"data": data}
        return api.apply(
            CONFIG_MAP, "a", body, namespace=namespace, manager=manager, force=force
        ).data

    assert apply("one", key="1", mine="x") == {"key": "1", "mine": "x"}
    assert apply("two", other="y") == {"key": "1", "mine": "x", "other": "y"}
    assert apply("one", key="2") == {"key": "2", "other": "y"}
    with pytest.raises(ApiConflict, match="conflict"):
        apply("two", force=False, key="3", other="y")
    assert apply("two", key="3", other="y") == {"key": "3", "other": "y"}


def test_an_apply_that_changes_nothing_keeps_the_resource_version(api: Api, namespace: str) -> None:
    first, second = (
        api.apply(CONFIG_MAP, "a", {"data": {"k": "v"}}, namespace=namespace, manager="one")
        for _ in range(2)
    )
    assert first == second


def test_status_is_applied_apart_from_the_rest(api: Api) -> None:
    api.create(NODE, {"metadata": {"name": "node-a"}})
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    api.apply(NODE, "node-a", {"status": ready}, manager="tests", subresource="status")
    node = api.get(NODE, "node-a")
    assert node is not None
    assert [(each.type, each.status) for each in node.status.conditions] == [("Ready", "True")]


def test_the_status_of_what_is_not_there_is_not_found(api: Api) -> None:
    with pytest.raises(ApiNotFound):
        api.apply(NODE, "node-x", {"status": {}}, manager="tests", subresource="status")


def test_an_event_is_created_and_counted_up(api: Api, namespace: str) -> None:
    regarding = api.create(CONFIG_MAP, config("a", namespace))
    for message in ("moved to node-a", "moved to node-a", "moved to node-b"):
        api.event(
            CONFIG_MAP,
            regarding,
            type="Normal",
            reason="Moved",
            message=message,
            component="tests",
        )
    found, _ = api.list(EVENT, namespace=namespace)
    assert sorted((event.message, event.count) for event in found) == [
        ("moved to node-a", 2),
        ("moved to node-b", 1),
    ]
    assert all(event.involved_object.uid == regarding.metadata.uid for event in found)


def test_an_event_about_a_cluster_scoped_object_is_kept_in_default(api: Api) -> None:
    node = api.create(NODE, {"metadata": {"name": "node-a"}})
    api.event(NODE, node, type="Warning", reason="Tested", message="x" * 3000, component="tests")
    found, _ = api.list(
        EVENT, namespace="default", field_selector=f"involvedObject.uid={node.metadata.uid}"
    )
    assert [event.reason for event in found] == ["Tested"]


def test_the_status_of_a_kind_of_ours_is_applied(crds: None, client: Client) -> None:
    client.create(EGRESS_CLUSTER_INFO, {"metadata": {"name": "default"}})
    networks = [{"cidr": "192.0.2.0/24", "source": "Extra"}]
    written = client.apply(
        EGRESS_CLUSTER_INFO,
        "default",
        {"status": {"networks": networks}},
        manager="tests",
        subresource="status",
    )
    assert [network.cidr for network in written.status.networks] == ["192.0.2.0/24"]


def test_a_kind_that_the_server_does_not_know(client: Client) -> None:
    assert client.get(CALICO_IP_POOL, "default") is None
    with pytest.raises(ApiNotFound):
        client.list(CALICO_IP_POOL)


def test_what_is_not_valid_is_refused_with_the_servers_words(
    client: Client, namespace: str
) -> None:
    with pytest.raises(ApiRefused, match="RFC 1123"):
        client.create(CONFIG_MAP, config("Not_A_Name", namespace))


def test_a_pod_of_a_namespace_that_is_not_there_is_not_found(client: Client) -> None:
    pod = {
        "metadata": {"name": "a", "namespace": "nowhere"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    with pytest.raises(ApiNotFound, match="nowhere"):
        client.create(POD, pod)


def test_a_wrong_token_is_refused(apiserver: ApiServer, client: Client) -> None:
    config = apiserver.kubeconfig_with(token="wrong")
    with pytest.raises(ApiRefused, match="401"):
        Client.connect(config).get(NAMESPACE, "default")


def test_a_server_that_is_away_is_unavailable_and_comes_back(
    apiserver: ApiServer, client: Client
) -> None:
    assert client.get(NAMESPACE, "default") is not None
    apiserver.stop()
    with pytest.raises(ApiUnavailable):
        client.get(NAMESPACE, "default")
    apiserver.start()
    assert client.get(NAMESPACE, "default") is not None


def test_a_silent_server_is_unavailable_after_the_timeout(
    apiserver: ApiServer, client: Client
) -> None:
    apiserver.pause()
    try:
        with pytest.raises(ApiUnavailable):
            client.get(NAMESPACE, "default", timeout=0.5)
    finally:
        apiserver.resume()


def test_a_watch_from_before_the_servers_memory_has_expired(
    apiserver: ApiServer, client: Client, namespace: str
) -> None:
    old = client.create(CONFIG_MAP, config("a", namespace)).metadata.resource_version
    for number in range(3):
        client.apply(
            CONFIG_MAP, "a", {"data": {"n": str(number)}}, namespace=namespace, manager="tests"
        )
    apiserver.compact()
    # Its cache forgets only when it starts anew.
    apiserver.stop()
    apiserver.start()
    with pytest.raises(ApiExpired):
        for event in client.watch(CONFIG_MAP, resource_version=old):
            if event.type == "ERROR":
                raise ApiExpired(bytes(event.object).decode())


def test_an_event_that_is_refused_is_no_error(client: Client) -> None:
    node = client.create(NODE, {"metadata": {"name": "node-b"}})
    client.event(NODE, node, type="Normal", reason="x" * 200, message="", component="tests")


def test_status_and_the_rest_do_not_touch_each_other(crds: None, api: Api) -> None:
    networks = [{"cidr": "192.0.2.0/24", "source": "Extra"}]
    created = api.create(
        EGRESS_CLUSTER_INFO, {"metadata": {"name": "default"}, "status": {"networks": networks}}
    )
    assert created.status.networks == ()
    written = api.apply(
        EGRESS_CLUSTER_INFO,
        "default",
        {"status": {"networks": networks}, "spec": {"extraCIDR": ["203.0.113.0/24"]}},
        manager="controller",
        subresource="status",
    )
    assert [network.cidr for network in written.status.networks] == ["192.0.2.0/24"]
    assert written.spec.extra_cidr == ()
    assert written.metadata.generation == 1
    changed = api.apply(
        EGRESS_CLUSTER_INFO,
        "default",
        {"spec": {"extraCIDR": ["203.0.113.0/24"]}, "status": {}},
        manager="user",
    )
    assert changed.status == written.status
    assert changed.metadata.generation == 2


def test_a_watch_tells_what_happened_since_the_list(api: Api, namespace: str) -> None:
    api.create(CONFIG_MAP, config("a", namespace))
    _, version = api.list(CONFIG_MAP, namespace=namespace)
    api.apply(CONFIG_MAP, "a", {"data": {"k": "v"}}, namespace=namespace, manager="tests")
    api.create(CONFIG_MAP, config("b", namespace))
    api.delete(CONFIG_MAP, "a", namespace=namespace)
    watch = api.watch(CONFIG_MAP, resource_version=version, namespace=namespace)
    seen = []
    for event in watch:
        seen.append((event.type, decode_meta(event.object).name))
        if len(seen) == 3:
            watch.close()
    assert seen == [("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "a")]
