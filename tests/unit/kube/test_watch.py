import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from unit.kube.stopping import CountedStop

from outgate.api.core import ConfigMap, Pod
from outgate.api.kinds import CONFIG_MAP, POD, Kind
from outgate.api.meta import Wire
from outgate.daemon.backoff import Backoff
from outgate.kube.errors import ApiError, ApiExpired, ApiNotFound, ApiRefused, ApiUnavailable
from outgate.kube.fake import FakeApi
from outgate.kube.journal import FakeWatch
from outgate.kube.store import Store
from outgate.kube.watch import Reflector

DEADLINE = 5.0
QUICK = Backoff(first=0.001, most=0.01)


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def store() -> Store[ConfigMap]:
    return Store()


def put(api: FakeApi, name: str, **data: str) -> None:
    api.put(CONFIG_MAP, {"metadata": {"name": name, "namespace": "team"}, "data": data})


def put_unreadable(api: FakeApi, name: str) -> None:
    api.put_unreadable(
        CONFIG_MAP, {"metadata": {"name": name, "namespace": "team"}, "data": "no mapping"}
    )


def data_of(store: Store[ConfigMap]) -> dict[str, dict[str, str]]:
    return {name: value.data for (_, name), value in store.snapshot().items()}


@contextmanager
def running(reflector: Reflector[ConfigMap] | Reflector[Pod]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=reflector.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(DEADLINE)
        assert not thread.is_alive()


def until(store: Store[ConfigMap], holds: Callable[[], bool]) -> None:
    changed = threading.Condition()

    def tell() -> None:
        with changed:
            changed.notify_all()

    store.subscribe(tell)
    with changed:
        assert changed.wait_for(holds, DEADLINE), data_of(store)


def counted(metric: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"outgate_watch_{metric}_total", labels) or 0.0


def test_the_store_follows_what_happens(api: FakeApi, store: Store[ConfigMap]) -> None:
    put(api, "a", key="1")
    reflector = Reflector(api, CONFIG_MAP, store)
    assert not reflector.ready()
    with running(reflector):
        until(store, lambda: data_of(store) == {"a": {"key": "1"}})
        assert reflector.ready()
        put(api, "a", key="2")
        put(api, "b")
        until(store, lambda: data_of(store) == {"a": {"key": "2"}, "b": {}})
        api.drop(CONFIG_MAP, "a", namespace="team")
        until(store, lambda: data_of(store) == {"b": {}})


def test_a_list_of_many_pages_is_whole(api: FakeApi, store: Store[ConfigMap]) -> None:
    for number in range(250):
        put(api, f"c{number}")
    with running(Reflector(api, CONFIG_MAP, store)):
        until(store, lambda: len(store) == 250)


def test_after_an_expired_version_it_lists_and_sees_what_went(
    api: FakeApi, store: Store[ConfigMap]
) -> None:
    put(api, "a")
    with running(Reflector(api, CONFIG_MAP, store, backoff=QUICK)):
        until(store, lambda: data_of(store) == {"a": {}})
        api.fail("watch", ApiUnavailable("away"), times=2)
        api.hang_up()
        api.drop(CONFIG_MAP, "a", namespace="team")
        put(api, "b")
        api.expire()
        until(store, lambda: data_of(store) == {"b": {}})


def test_a_watch_that_ends_goes_on_from_where_it_was(api: FakeApi, store: Store[ConfigMap]) -> None:
    put(api, "a")
    with running(Reflector(api, CONFIG_MAP, store, backoff=QUICK)):
        until(store, lambda: len(store) == 1)
        api.hang_up()
        put(api, "b")
        until(store, lambda: len(store) == 2)
    assert [call.method for call in api.calls].count("list") == 1


@pytest.mark.parametrize(
    "error",
    [
        ApiUnavailable("no route to host"),
        ApiUnavailable("internal error", status=500),
        ApiUnavailable("too many requests", status=429),
        ApiRefused("forbidden", status=403),
        ApiExpired("too old", status=410),
    ],
    ids=lambda error: f"{type(error).__name__} {error.status}",
)
@pytest.mark.parametrize("method", ["list", "watch"])
def test_no_failure_is_repeated_without_a_growing_pause(
    api: FakeApi, store: Store[ConfigMap], method: str, error: ApiError
) -> None:
    api.fail(method, error, times=1000)
    stop = CountedStop(8)
    Reflector(api, CONFIG_MAP, store, backoff=Backoff(first=1.0, most=30.0, jitter=0.0)).run(stop)
    assert stop.pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


class Hasty(FakeApi):
    """Ends every watch as soon as it has begun."""

    def watch(
        self,
        kind: Kind[Wire],
        *,
        resource_version: str,
        namespace: str = "",
        field_selector: str = "",
        label_selector: str = "",
    ) -> FakeWatch:
        watch = super().watch(kind, resource_version=resource_version)
        self.hang_up()
        return watch


def test_watches_that_end_at_once_are_not_repeated_without_a_pause(
    store: Store[ConfigMap],
) -> None:
    stop = CountedStop(4)
    Reflector(Hasty(), CONFIG_MAP, store, backoff=Backoff(first=1.0, most=30.0, jitter=0.0)).run(
        stop
    )
    assert stop.pauses == [1.0, 2.0, 4.0, 8.0]


def test_the_servers_wish_for_a_pause_is_granted(api: FakeApi, store: Store[ConfigMap]) -> None:
    api.fail("list", ApiUnavailable("busy", status=429, retry_after=17.0))
    stop = CountedStop(1)
    Reflector(api, CONFIG_MAP, store).run(stop)
    assert 17.0 <= stop.pauses[0] <= 17.0 * 1.3


def test_a_wish_for_an_absurd_pause_is_cut(api: FakeApi, store: Store[ConfigMap]) -> None:
    api.fail("list", ApiUnavailable("busy", status=503, retry_after=1e9))
    stop = CountedStop(1)
    Reflector(api, CONFIG_MAP, store).run(stop)
    assert stop.pauses[0] <= 300.0 * 1.3


def test_a_failure_is_logged_once_and_so_is_the_recovery(
    api: FakeApi, store: Store[ConfigMap]
) -> None:
    api.fail("list", ApiUnavailable("no route to host"), times=5)
    with capture_logs() as logs, running(Reflector(api, CONFIG_MAP, store, backoff=QUICK)):
        assert store.wait_synced(DEADLINE)
        put(api, "a")
        until(store, lambda: len(store) == 1)
    assert [entry["event"] for entry in logs] == ["watch failed, trying again", "watch works again"]
    assert logs[0]["why"] == "no route to host"


def test_a_server_that_keeps_refusing_our_version_is_listed_again(
    api: FakeApi, store: Store[ConfigMap]
) -> None:
    api.fail("watch", ApiUnavailable("too large resource version", status=504), times=3)
    with running(Reflector(api, CONFIG_MAP, store, backoff=QUICK)):
        assert store.wait_synced(DEADLINE)
        put(api, "a")
        until(store, lambda: len(store) == 1)
    assert [call.method for call in api.calls].count("list") == 2


def test_a_server_that_is_not_there_costs_no_list_when_it_is_back(
    api: FakeApi, store: Store[ConfigMap]
) -> None:
    api.fail("watch", ApiUnavailable("connection refused"), times=9)
    with running(Reflector(api, CONFIG_MAP, store, backoff=QUICK)):
        assert store.wait_synced(DEADLINE)
        put(api, "a")
        until(store, lambda: len(store) == 1)
    assert [call.method for call in api.calls].count("list") == 1


def test_a_bad_object_is_skipped_counted_and_logged_once(
    api: FakeApi, store: Store[ConfigMap]
) -> None:
    put(api, "good")
    put_unreadable(api, "bad")
    before = counted("bad_objects", kind="ConfigMap")
    reflector = Reflector(api, CONFIG_MAP, store, backoff=QUICK)
    with capture_logs() as logs, running(reflector):
        until(store, lambda: data_of(store) == {"good": {}})
        assert set(reflector.skipped) == {("team", "bad")}
        api.expire()
        put(api, "later")
        until(store, lambda: data_of(store) == {"good": {}, "later": {}})
    skipped = [entry for entry in logs if entry["event"] == "object can't be read, skipped"]
    assert [entry["name"] for entry in skipped] == ["bad"]
    assert counted("bad_objects", kind="ConfigMap") == before + 2


def test_an_object_that_turns_bad_keeps_its_last_good_form_until_it_is_gone(
    api: FakeApi, store: Store[ConfigMap]
) -> None:
    put(api, "a", key="1")
    reflector = Reflector(api, CONFIG_MAP, store, backoff=QUICK)
    with running(reflector):
        until(store, lambda: len(store) == 1)
        put_unreadable(api, "a")
        put(api, "b")
        until(store, lambda: data_of(store) == {"a": {"key": "1"}, "b": {}})
        api.expire()  # and also when it is listed
        put(api, "c")
        until(store, lambda: data_of(store) == {"a": {"key": "1"}, "b": {}, "c": {}})
        api.drop(CONFIG_MAP, "a", namespace="team")
        until(store, lambda: data_of(store) == {"b": {}, "c": {}})
        assert reflector.skipped == {}


def test_an_object_that_turns_good_again_is_taken(api: FakeApi, store: Store[ConfigMap]) -> None:
    put_unreadable(api, "a")
    reflector = Reflector(api, CONFIG_MAP, store)
    with running(reflector):
        assert store.wait_synced(DEADLINE)
        put(api, "a", key="1")
        until(store, lambda: data_of(store) == {"a": {"key": "1"}})
        assert reflector.skipped == {}


def test_a_kind_that_is_not_installed_counts_as_empty_and_is_looked_for_slowly(
    api: FakeApi, store: Store[ConfigMap]
) -> None:
    api.unknown(CONFIG_MAP)
    stop = CountedStop(3)
    reflector = Reflector(api, CONFIG_MAP, store)
    reflector.run(stop)
    assert store.synced
    assert reflector.absent
    assert all(pause >= 60.0 for pause in stop.pauses)


def test_a_kind_that_gets_installed_is_found(api: FakeApi, store: Store[ConfigMap]) -> None:
    put(api, "a")
    api.unknown(CONFIG_MAP)
    reflector = Reflector(api, CONFIG_MAP, store, absent_retry=0.001)
    with running(reflector):
        assert store.wait_synced(DEADLINE)
        api.unknown(CONFIG_MAP, unknown=False)
        until(store, lambda: len(store) == 1)
        assert not reflector.absent


def test_a_kind_with_objects_that_vanishes_is_not_believed_at_once(
    api: FakeApi, store: Store[ConfigMap]
) -> None:
    put(api, "a")
    reflector = Reflector(api, CONFIG_MAP, store, backoff=QUICK)
    with running(reflector):
        until(store, lambda: len(store) == 1)
    api.fail("*", ApiNotFound("no such kind", status=404), times=1000)
    stop = CountedStop(5)
    reflector.run(stop)
    assert len(store) == 1
    assert all(pause < 60.0 for pause in stop.pauses)


def test_a_kind_with_objects_that_stays_away_is_empty_in_the_end(
    api: FakeApi, store: Store[ConfigMap]
) -> None:
    put(api, "a")
    reflector = Reflector(api, CONFIG_MAP, store, backoff=QUICK, absent_confirm=0.0)
    with running(reflector):
        until(store, lambda: len(store) == 1)
        api.unknown(CONFIG_MAP)
        api.hang_up()
        until(store, lambda: len(store) == 0)


def test_only_what_is_selected_is_seen(api: FakeApi) -> None:
    def pod(name: str, node: str) -> None:
        metadata = {"name": name, "namespace": "team"}
        api.put(POD, {"metadata": metadata, "spec": {"nodeName": node}})

    pods: Store[Pod] = Store()
    pod("a", "node-a")
    pod("b", "node-b")
    with running(Reflector(api, POD, pods, field_selector="spec.nodeName=node-a")):
        assert pods.wait_synced(DEADLINE)
        assert set(pods.snapshot()) == {("team", "a")}


def test_it_stops_at_once_in_the_middle_of_a_quiet_watch(
    api: FakeApi, store: Store[ConfigMap]
) -> None:
    with running(Reflector(api, CONFIG_MAP, store)):
        assert store.wait_synced(DEADLINE)
