import json

import pytest
import urllib3
from unit.kube.badserver import Answer, serving

from outgate.api.kinds import CONFIG_MAP, EGRESS_GATEWAY, POD
from outgate.kube.access import Access
from outgate.kube.client import Client
from outgate.kube.errors import (
    ApiConflict,
    ApiError,
    ApiExpired,
    ApiNotFound,
    ApiRefused,
    ApiUnavailable,
)

CONFIG = json.dumps({"metadata": {"name": "a", "namespace": "team"}}).encode()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ApiRefused),
        (401, ApiRefused),
        (403, ApiRefused),
        (404, ApiNotFound),
        (409, ApiConflict),
        (410, ApiExpired),
        (422, ApiRefused),
        (429, ApiUnavailable),
        (500, ApiUnavailable),
        (503, ApiUnavailable),
    ],
)
def test_every_status_has_its_error_with_the_servers_words(
    status: int, error: type[ApiError]
) -> None:
    answer = Answer(json.dumps({"message": "because", "code": status}).encode(), status=status)
    with serving(answer) as script, pytest.raises(error, match="because") as caught:
        script.client().list(CONFIG_MAP, namespace="team")
    assert caught.value.status == status
    assert "GET /api/v1/namespaces/team/configmaps" in str(caught.value)


def test_a_long_message_is_cut() -> None:
    answer = Answer(json.dumps({"message": "x" * 100_000}).encode(), status=422)
    with serving(answer) as script, pytest.raises(ApiRefused) as caught:
        script.client().create(CONFIG_MAP, {"metadata": {"name": "a", "namespace": "team"}})
    assert len(str(caught.value)) < 1000


def test_an_answer_that_is_no_json_is_quoted() -> None:
    answer = Answer(b"404 page not found\n", status=404)
    with serving(answer) as script, pytest.raises(ApiNotFound, match="page not found"):
        script.client().list(EGRESS_GATEWAY)


@pytest.mark.parametrize(("header", "expected"), [("7", 7.0), ("soon", None), ("", None)])
def test_retry_after_is_passed_on(header: str, expected: float | None) -> None:
    answer = Answer(b"{}", status=503, headers=(("Retry-After", header),))
    with serving(answer) as script, pytest.raises(ApiUnavailable) as caught:
        script.client().get(CONFIG_MAP, "a", namespace="team")
    assert caught.value.retry_after == expected
    assert len(script.requests) == 1


def test_an_answer_that_cannot_be_read_is_an_error_of_ours() -> None:
    with serving(Answer(b'{"metadata": 7}')) as script, pytest.raises(ApiRefused, match="read"):
        script.client().get(CONFIG_MAP, "a", namespace="team")


def test_an_answer_that_is_cut_off_is_unavailable() -> None:
    with serving(Answer(CONFIG[:10], then="cut")) as script, pytest.raises(ApiUnavailable):
        script.client().get(CONFIG_MAP, "a", namespace="team")


def test_nobody_there_is_unavailable() -> None:
    with serving(Answer()) as script:
        client = script.client()
    with pytest.raises(ApiUnavailable, match="refused"):
        client.get(CONFIG_MAP, "a", namespace="team")


def test_the_connection_outlives_an_answer() -> None:
    with serving(Answer(CONFIG)) as script:
        client = script.client()
        for _ in range(3):
            client.get(CONFIG_MAP, "a", namespace="team")
        assert len(script.requests) == 3


def test_all_pages_are_asked_for_by_their_token() -> None:
    def page(name: str, token: str) -> Answer:
        meta = {"resourceVersion": "10", "continue": token}
        return Answer(
            json.dumps({"metadata": meta, "items": [{"metadata": {"name": name}}]}).encode()
        )

    with serving(page("a", "t1"), page("b", "t2"), page("c", "")) as script:
        values, version = script.client().list(
            POD, label_selector="app in (x, y)", field_selector="spec.nodeName=node-a", limit=1
        )
    assert [value.metadata.name for value in values] == ["a", "b", "c"]
    assert version == "10"
    paths = [path for _, path, _, _ in script.requests]
    assert ["continue=t1" in path for path in paths] == [False, True, False]
    assert all("labelSelector=app%20in%20%28x%2C%20y%29" in path for path in paths)


def test_a_bad_object_in_a_list_is_left_out() -> None:
    items = [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}, "spec": "no mapping"}]
    with serving(Answer(json.dumps({"items": items}).encode())) as script:
        values, _ = script.client().list(POD)
    assert [value.metadata.name for value in values] == ["a"]


def test_an_apply_says_who_and_what() -> None:
    answer = {"metadata": {"name": "a"}, "spec": {"nodeSelector": {"selector": {}}}}
    with serving(Answer(json.dumps(answer).encode())) as script:
        script.client().apply(
            EGRESS_GATEWAY, "a", {"status": {}}, manager="outgate", subresource="status"
        )
    method, path, headers, body = script.requests[0]
    assert method == "PATCH"
    assert path == (
        "/apis/outgate.dev/v1beta1/egressgateways/a/status?fieldManager=outgate&force=true"
    )
    assert headers["Content-Type"] == "application/apply-patch+yaml"
    assert json.loads(body) == {
        "apiVersion": "outgate.dev/v1beta1",
        "kind": "EgressGateway",
        "metadata": {"name": "a"},
        "status": {},
    }


def test_names_are_quoted_in_paths() -> None:
    with serving(Answer(CONFIG)) as script:
        script.client().get(CONFIG_MAP, "../secrets/x", namespace="team")
    assert script.requests[0][1] == "/api/v1/namespaces/team/configmaps/..%2Fsecrets%2Fx"


def test_who_asks_is_said_with_each_request_so_that_a_new_token_is_taken_up() -> None:
    tokens = iter(("Bearer first", "Bearer second"))
    with serving(Answer(CONFIG)) as script:
        client = Client(Access(script.url, urllib3.PoolManager(), lambda: next(tokens)))
        for _ in range(2):
            client.get(CONFIG_MAP, "a", namespace="team")
    sent = [headers["Authorization"] for _, _, headers, _ in script.requests]
    assert sent == ["Bearer first", "Bearer second"]
