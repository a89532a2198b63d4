import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outgate.api.core import PodIP
from outgate.api.kinds import CONFIG_MAP, EGRESS_GATEWAY, EGRESS_POLICY, NODE, POD, Kind
from outgate.api.meta import Wire
from outgate.kube import wire
from outgate.kube.wire import Malformed


@pytest.mark.parametrize(
    ("kind", "name", "namespace", "subresource", "path"),
    [
        (POD, "", "", "", "/api/v1/pods"),
        (POD, "", "team", "", "/api/v1/namespaces/team/pods"),
        (POD, "a", "team", "status", "/api/v1/namespaces/team/pods/a/status"),
        (NODE, "a", "", "", "/api/v1/nodes/a"),
        (NODE, "a", "team", "", "/api/v1/nodes/a"),
        (EGRESS_GATEWAY, "a", "", "status", "/apis/outgate.dev/v1beta1/egressgateways/a/status"),
        (EGRESS_POLICY, "", "team", "", "/apis/outgate.dev/v1beta1/namespaces/team/egresspolicies"),
    ],
)
def test_where_an_object_is(
    kind: Kind[Wire], name: str, namespace: str, subresource: str, path: str
) -> None:
    assert wire.path(kind, name, namespace=namespace, subresource=subresource) == path


def test_a_body_gets_its_kind_and_takes_our_values_anywhere() -> None:
    body = wire.full_body(
        POD, {"status": {"podIPs": [PodIP(ip="192.0.2.1")]}}, name="a", namespace="team"
    )
    assert body == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "namespace": "team"},
        "status": {"podIPs": [{"ip": "192.0.2.1"}]},
    }


def test_a_body_is_not_changed() -> None:
    body = {"metadata": {"labels": {"app": "a"}}}
    wire.full_body(CONFIG_MAP, body, name="a")
    assert body == {"metadata": {"labels": {"app": "a"}}}


@settings(deadline=None)  # the machine is shared
@given(text=st.binary(max_size=200))
def test_no_text_breaks_anything_but_by_malformed(text: bytes) -> None:
    for read in (wire.decode_page, wire.decode_event, lambda raw: wire.decode(POD, raw)):
        with contextlib.suppress(Malformed):
            read(text)
    wire.decode_status(text)
