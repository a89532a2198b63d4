import pytest

from outgate.api.kinds import CONFIG_MAP, NODE
from outgate.api.meta import ObjectMeta
from outgate.kube.errors import ApiConflict, ApiRefused, ApiUnavailable
from outgate.kube.events import EVENT, MESSAGE_MAX, Event, first
from outgate.kube.fake import FakeApi


def tell(api: FakeApi, *, message: str = "moved to node-a", component: str = "controller") -> None:
    config = api.get(CONFIG_MAP, "a", namespace="team")
    assert config is not None
    api.event(
        CONFIG_MAP, config, type="Normal", reason="Moved", message=message, component=component
    )


@pytest.fixture
def api() -> FakeApi:
    api = FakeApi()
    api.put(CONFIG_MAP, {"metadata": {"name": "a", "namespace": "team"}})
    return api


def told(api: FakeApi) -> list[tuple[str, int]]:
    return sorted((event.message, event.count) for event in api.list(EVENT)[0])


def test_the_same_again_is_counted_up(api: FakeApi) -> None:
    for _ in range(3):
        tell(api)
    tell(api, message="moved to node-b")
    assert told(api) == [("moved to node-a", 3), ("moved to node-b", 1)]


def test_a_second_process_counts_the_same_event_up(api: FakeApi) -> None:
    tell(api)
    again = FakeApi.__new__(FakeApi)
    again.__dict__ = api.__dict__  # nothing is remembered outside the server
    tell(again)
    assert told(api) == [("moved to node-a", 2)]


@pytest.mark.parametrize(
    "error", [ApiUnavailable("away"), ApiRefused("no right"), ApiConflict("somebody was first")]
)
@pytest.mark.parametrize("method", ["create", "get", "replace"])
def test_what_goes_wrong_is_no_error(api: FakeApi, method: str, error: Exception) -> None:
    config = api.get(CONFIG_MAP, "a", namespace="team")
    assert config is not None
    tell(api)
    api.fail(method, error)  # type: ignore[arg-type]
    api.event(CONFIG_MAP, config, type="Normal", reason="Moved", message="m", component="c")


def event_about(metadata: ObjectMeta, *, message: str = "m") -> Event:
    return first(
        NODE,
        metadata,
        type="Warning",
        reason="Tested",
        message=message,
        component="tests",
        now="2026-01-01T00:00:00Z",
    )


def test_events_of_cluster_scoped_objects_live_in_default() -> None:
    assert event_about(ObjectMeta(name="node-a")).metadata.namespace == "default"


def test_a_name_too_long_is_cut_and_still_unique() -> None:
    one, two = (
        event_about(ObjectMeta(name="n" * 253, uid=uid)).metadata.name for uid in ("1", "2")
    )
    assert one != two
    assert len(one) <= 253


def test_a_message_too_long_for_the_server_is_cut() -> None:
    assert len(event_about(ObjectMeta(name="n"), message="x" * 5000).message) == MESSAGE_MAX
