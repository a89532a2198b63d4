import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgate.api.core import Lease
from outgate.api.kinds import LEASE
from outgate.kube import wire
from outgate.vip.engine.events import Record
from outgate.vip.leases.mapping import BOOT, EPOCH_MAX, TERM, lease_of, record_of
from outgate.vip.leases.names import GATEWAY, NODE

WALL = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
HOLDS = Record("internet", "node-a", epoch=7, boot=3, inside=True, term=1.5, version="41/4-5-6")
DEPOSED = replace(HOLDS, inside=False, term=0.0)
LONG = replace(HOLDS, gateway="g" * 253, node="n" * 253)
UNKNOWN = 9.0
"""What is assumed of a member whose term can't be believed."""

INSIDE = st.builds(
    Record,
    gateway=st.sampled_from(["internet", "a.b-c", "g" * 253]),
    node=st.sampled_from(["node-a", "n.example.org", "n" * 253]),
    epoch=st.integers(0, EPOCH_MAX),
    boot=st.integers(0, 10**18),
    inside=st.just(True),
    term=st.floats(0, 3600),
    version=st.sampled_from(["41/4-5-6", "9007199254740993/7-8-9"]),
)


def plain(record: Record, *, owner: str = "") -> dict[str, Any]:
    """The Lease as JSON has it."""
    lease = lease_of(record, namespace="outgate-system", wall=WALL, owner=owner)
    body = wire.full_body(LEASE, {"metadata": lease.metadata, "spec": lease.spec})
    return cast("dict[str, Any]", json.loads(wire.encode(body)))


def read(body: dict[str, Any]) -> Record | None:
    lease: Lease = wire.decode(LEASE, wire.encode(body))
    return record_of(lease, term=UNKNOWN)


def edited(record: Record, *, spec: dict[str, Any], annotations: dict[str, Any]) -> dict[str, Any]:
    """The record's Lease after somebody's edit: None takes a field out."""
    body = plain(record)
    for fields, edits in ((body["spec"], spec), (body["metadata"]["annotations"], annotations)):
        fields.update(edits)
        for name, value in edits.items():
            if value is None:
                del fields[name]
    return body


@given(INSIDE, st.booleans())
def test_what_is_written_is_read_again(record: Record, deposed: bool) -> None:
    record = replace(record, inside=False, term=0.0) if deposed else record
    assert read(plain(record)) == record


def test_the_lease_of_a_member_that_relies_on_it() -> None:
    assert plain(HOLDS, owner="1-2-3") == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": "outgate-vip-internet-node-a-0a89476b8fc0ee38",
            "namespace": "outgate-system",
            "uid": "4-5-6",
            "resourceVersion": "41",
            "labels": {GATEWAY: "internet", NODE: "node-a"},
            "annotations": {GATEWAY: "internet", NODE: "node-a", TERM: "1.5", BOOT: "3"},
            "ownerReferences": [
                {
                    "apiVersion": "outgate.dev/v1beta1",
                    "kind": "EgressGateway",
                    "name": "internet",
                    "uid": "1-2-3",
                }
            ],
        },
        "spec": {
            "holderIdentity": "node-a",
            "leaseDurationSeconds": 2,
            "leaseTransitions": 7,
            "renewTime": "2026-01-02T03:04:05.000006Z",
        },
    }


def test_the_lease_of_a_deposed_member_names_no_holder_and_no_version_where_it_is_new() -> None:
    body = plain(replace(DEPOSED, version=""))
    assert "holderIdentity" not in body["spec"]
    assert body["spec"]["leaseDurationSeconds"] == 1
    assert "resourceVersion" not in body["metadata"]
    assert "ownerReferences" not in body["metadata"]


@pytest.mark.parametrize(
    ("spec", "annotations"),
    [
        ({"holderIdentity": None}, {}),
        ({"holderIdentity": ""}, {}),
        ({"holderIdentity": "node-b"}, {}),
        ({"leaseDurationSeconds": 3600}, {}),
        ({"leaseDurationSeconds": None}, {}),
        ({"holderIdentity": None, "leaseDurationSeconds": None}, {TERM: None}),
        ({}, {TERM: None}),
        ({}, {TERM: "soon"}),
        ({}, {TERM: "nan"}),
        ({}, {TERM: "-1"}),
        ({"leaseDurationSeconds": 2**31 - 1}, {TERM: "2147483647"}),
        ({}, {BOOT: None}),
        ({}, {BOOT: "-3"}),
        ({}, {BOOT: "9" * 5000}),
    ],
)
def test_what_does_not_fit_together_counts_as_inside_with_a_whole_term_and_nobodys_boot(
    spec: dict[str, Any], annotations: dict[str, Any]
) -> None:
    found = read(edited(HOLDS, spec=spec, annotations=annotations))
    assert found == replace(HOLDS, boot=0, term=UNKNOWN)


@pytest.mark.parametrize("epoch", [None, -1, EPOCH_MAX + 1, 2**31 - 1])
def test_an_epoch_that_nobody_has_counted_up_to_is_not_believed(epoch: int | None) -> None:
    found = read(edited(HOLDS, spec={"leaseTransitions": epoch}, annotations={}))
    assert found == replace(HOLDS, epoch=0, boot=0, term=UNKNOWN)


@pytest.mark.parametrize("annotations", [{BOOT: None}, {GATEWAY: None, NODE: "node-b"}])
def test_a_deposed_member_stays_deposed_whatever_else_is_edited(
    annotations: dict[str, Any],
) -> None:
    found = read(edited(DEPOSED, spec={}, annotations=annotations))
    assert found is not None
    assert not found.inside
    assert found.epoch == DEPOSED.epoch


def test_whose_it_is_says_the_name_whatever_is_edited() -> None:
    moved = {GATEWAY: "other", NODE: "node-b"}
    assert read(edited(HOLDS, spec={}, annotations=moved)) == HOLDS


@pytest.mark.parametrize("annotations", [{GATEWAY: None}, {NODE: "node-b"}])
def test_a_cut_name_without_the_annotations_is_nobodys(annotations: dict[str, Any]) -> None:
    assert read(edited(LONG, spec={}, annotations=annotations)) is None


def test_a_lease_of_somebody_else_is_no_record() -> None:
    body = plain(HOLDS)
    body["metadata"]["name"] = "outgate-controller"
    body["metadata"]["annotations"] = {}
    assert read(body) is None


@pytest.mark.parametrize("labels", [{}, {GATEWAY: "other"}])
def test_a_lease_that_not_all_members_would_find_is_nobodys(labels: dict[str, str]) -> None:
    body = plain(HOLDS)
    body["metadata"]["labels"] = labels
    assert read(body) is None
