import json
import threading
import time

import pytest
from unit.kube.badserver import Answer, serving
from unit.kube.stopping import CountedStop

from outgate.api.core import ConfigMap
from outgate.api.kinds import CONFIG_MAP
from outgate.daemon.backoff import Backoff
from outgate.kube.errors import ApiExpired, ApiUnavailable
from outgate.kube.store import Store
from outgate.kube.watch import Reflector

STEADY = Backoff(first=1.0, most=8.0, jitter=0.0)


def config(name: str, version: int) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "team", "resourceVersion": str(version)}}


def event(kind: str, item: dict[str, object]) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


LIST = Answer(json.dumps({"metadata": {"resourceVersion": "10"}, "items": []}).encode())
ADDED = event("ADDED", config("a", 11))
BOOKMARK = event("BOOKMARK", {"kind": "ConfigMap", "metadata": {"resourceVersion": "99"}})


def test_events_come_as_they_are_sent() -> None:
    with serving(Answer(ADDED + BOOKMARK)) as script:
        events = list(script.client().watch(CONFIG_MAP, resource_version="10"))
    assert [found.type for found in events] == ["ADDED", "BOOKMARK"]


def test_a_watch_asks_for_bookmarks_and_for_an_end() -> None:
    with serving(Answer()) as script:
        list(script.client().watch(CONFIG_MAP, resource_version="10", namespace="team"))
    path = script.requests[0][1]
    assert path.startswith("/api/v1/namespaces/team/configmaps?")
    assert "watch=1" in path
    assert "allowWatchBookmarks=true" in path
    assert "resourceVersion=10" in path
    assert "timeoutSeconds=6" in path  # 60 to 66


def test_an_event_in_many_pieces_is_one_event() -> None:
    large = event("ADDED", {**config("a", 11), "data": {"key": "x" * 300_000}})
    with serving(Answer(large + ADDED)) as script:
        events = list(script.client().watch(CONFIG_MAP, resource_version="10"))
    assert len(events) == 2


def test_an_answer_that_is_cut_off_is_no_end() -> None:
    with serving(Answer(ADDED, then="cut")) as script:
        watch = iter(script.client().watch(CONFIG_MAP, resource_version="10"))
        assert next(watch).type == "ADDED"
        with pytest.raises(ApiUnavailable):
            next(watch)


def test_an_event_that_is_cut_off_is_no_event() -> None:
    with serving(Answer(ADDED[:20])) as script, pytest.raises(ApiUnavailable, match="middle"):
        list(script.client().watch(CONFIG_MAP, resource_version="10"))


def test_a_line_that_is_no_event_asks_for_a_new_list() -> None:
    with serving(Answer(b"<html>\n")) as script, pytest.raises(ApiExpired, match="not an event"):
        list(script.client().watch(CONFIG_MAP, resource_version="10"))


def test_a_silent_server_is_given_up() -> None:
    with serving(Answer(ADDED, then="hang")) as script:
        watch = iter(script.client(silence=0.1).watch(CONFIG_MAP, resource_version="10"))
        assert next(watch).type == "ADDED"
        with pytest.raises(ApiUnavailable, match="timed out"):
            next(watch)


def test_a_watch_may_be_silent_for_longer_than_connecting_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("outgate.kube.client.CONNECT_TIMEOUT", 0.05)
    with serving(Answer(ADDED, then="hang")) as script:
        watch = iter(script.client(silence=0.5).watch(CONFIG_MAP, resource_version="10"))
        assert next(watch).type == "ADDED"
        began = time.monotonic()
        with pytest.raises(ApiUnavailable, match="timed out"):
            next(watch)
        assert time.monotonic() - began > 0.3


def test_closing_wakes_up_whoever_reads() -> None:
    with serving(Answer(ADDED, then="hang")) as script:
        watch = script.client(silence=30.0).watch(CONFIG_MAP, resource_version="10")
        reading = threading.Event()

        def read() -> None:
            for _ in watch:
                reading.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert reading.wait(5)
        watch.close()
        reader.join(5)
        assert not reader.is_alive()


def test_a_watch_that_has_ended_may_be_closed() -> None:
    with serving(Answer(ADDED)) as script:
        watch = script.client().watch(CONFIG_MAP, resource_version="10")
        list(watch)
        watch.close()


def test_a_bookmark_moves_on_without_an_object() -> None:
    store: Store[ConfigMap] = Store()
    with serving(LIST, Answer(BOOKMARK), Answer()) as script:
        Reflector(script.client(), CONFIG_MAP, store, backoff=STEADY).run(CountedStop(2))
    assert "resourceVersion=99" in script.requests[2][1]
    assert len(store) == 0


def test_an_error_event_that_says_expired_leads_to_a_new_list() -> None:
    expired = event("ERROR", {"kind": "Status", "status": "Failure", "code": 410, "message": "old"})
    store: Store[ConfigMap] = Store()
    stop = CountedStop(2)
    with serving(LIST, Answer(expired), LIST, Answer()) as script:
        Reflector(script.client(), CONFIG_MAP, store, backoff=STEADY).run(stop)
    assert ["watch=1" in path for _, path, _, _ in script.requests] == [False, True, False, True]
    assert stop.pauses[0] == 1.0


def test_an_error_event_may_ask_for_a_pause() -> None:
    busy = event(
        "ERROR",
        {"kind": "Status", "code": 429, "message": "busy", "details": {"retryAfterSeconds": 40}},
    )
    stop = CountedStop(1)
    with serving(LIST, Answer(busy)) as script:
        Reflector(script.client(), CONFIG_MAP, Store(), backoff=STEADY).run(stop)
    assert stop.pauses == [40.0]


@pytest.mark.parametrize(
    "watch",
    [
        Answer(b'{"message": "forbidden"}', status=403),
        Answer(b"try later", status=429),
        Answer(b"", status=500),
        Answer(b'{"message": "too old resource version"}', status=410),
        Answer(b""),
        Answer(b"", then="cut"),
        Answer(ADDED[:20]),
        Answer(ADDED[:20], then="cut"),
        Answer(b"<html>\n"),
        Answer(event("ADDED", {"metadata": 7})),
        Answer(event("ERROR", {"kind": "Status", "code": 500, "message": "unable to decode"})),
    ],
    ids=lambda answer: f"{answer.status} {answer.body[:24]!r} {answer.then}",
)
def test_no_bad_answer_is_asked_for_in_a_tight_loop(watch: Answer) -> None:
    stop = CountedStop(5)
    # The list may have to be asked for in between, so it is good each time.
    answers = [LIST, *([watch] * 2), *([LIST, watch] * 5)]
    with serving(*answers) as script:
        Reflector(script.client(), CONFIG_MAP, Store(), backoff=STEADY).run(stop)
    assert len(stop.pauses) == 5
    assert all(pause >= 1.0 for pause in stop.pauses)
    assert len(script.requests) <= 1 + 2 * 5 + 1


def test_a_retry_after_is_not_slept_through_in_the_client() -> None:
    began = time.monotonic()
    busy = Answer(b"busy", status=429, headers=(("Retry-After", "20"),))
    with serving(busy) as script, pytest.raises(ApiUnavailable) as caught:
        script.client().watch(CONFIG_MAP, resource_version="10")
    assert caught.value.retry_after == 20.0
    assert len(script.requests) == 1
    assert time.monotonic() - began < 10
