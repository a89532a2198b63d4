import time
from dataclasses import replace
from typing import TypeVar

import pytest

from outgate.api.kinds import LEASE
from outgate.kube.errors import ApiNotFound, ApiRefused, ApiUnavailable
from outgate.kube.fake import FakeApi
from outgate.vip.engine.actions import ReadLeases, WriteLease
from outgate.vip.engine.events import LeaseRefused, LeasesRead, LeaseWritten, Record
from outgate.vip.leases.names import GATEWAY, lease_name
from outgate.vip.leases.requests import Desk
from outgate.vip.leases.worker import Job

T = TypeVar("T")

NAMESPACE = "outgate-system"
NEW = Record("internet", "node-a", epoch=1, boot=1, inside=True, term=0.0)
NAME = lease_name("internet", "node-a")


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def desk(api: FakeApi) -> Desk:
    return Desk(api, NAMESPACE, 1.5)


def in_time(action: T) -> Job[T]:
    return Job(action, time.monotonic() + 60)


def write(desk: Desk, record: Record, *, owner: str = "") -> Record | None:
    """What stands then; None if it was refused."""
    event = desk.write(in_time(WriteLease(1, record)), owner=owner)
    if isinstance(event, LeaseRefused):
        return None
    assert isinstance(event, LeaseWritten)
    return event.record


def read(desk: Desk, *gateways: str) -> tuple[Record, ...]:
    event = desk.read(in_time(ReadLeases(2)), gateways=gateways)
    assert isinstance(event, LeasesRead)
    assert event.request == 2
    return event.records


def test_what_was_written_is_read(desk: Desk) -> None:
    other = replace(NEW, gateway="uplink", node="node-b")
    written = {write(desk, NEW), write(desk, other)}
    assert set(read(desk)) == written
    assert {replace(record, version="") for record in read(desk)} == {NEW, other}


def test_only_the_gateways_that_are_named_are_read(desk: Desk) -> None:
    own, long, other = (
        write(desk, replace(NEW, gateway=gateway)) for gateway in ("internet", "g" * 253, "uplink")
    )
    assert set(read(desk, "internet", "g" * 253)) == {own, long}
    assert read(desk, "uplink") == (other,)
    assert read(desk, "nobody") == ()


def test_a_lease_with_the_label_of_another_gateway_is_none_and_is_created_again(
    desk: Desk, api: FakeApi
) -> None:
    write(desk, NEW)
    api._objects[LEASE, (NAMESPACE, NAME)]["metadata"]["labels"][GATEWAY] = "uplink"
    assert read(desk, "internet", "uplink") == read(desk, "uplink") == ()
    again = write(desk, replace(NEW, epoch=2))
    assert read(desk, "internet") == (again,)


def test_all_gateways_are_one_request(desk: Desk, api: FakeApi) -> None:
    for number in range(600):
        write(desk, replace(NEW, gateway=f"gateway-{number}"))
    before = len(api.calls)
    assert len(read(desk)) == 600
    assert len(api.calls) == before + 1


def test_other_leases_are_not_read(desk: Desk, api: FakeApi) -> None:
    api.put(LEASE, {"metadata": {"name": "outgate-controller", "namespace": NAMESPACE}})
    labelled = {"name": "theirs", "namespace": NAMESPACE, "labels": {GATEWAY: "internet"}}
    api.put(LEASE, {"metadata": labelled})
    assert read(desk) == ()


def test_a_swap_on_the_version_that_stands_is_done(desk: Desk) -> None:
    first = write(desk, NEW)
    assert first is not None
    second = write(desk, replace(first, epoch=2))
    assert second is not None
    assert second.version != first.version
    assert read(desk) == (second,)


def test_a_swap_on_another_version_is_refused(desk: Desk) -> None:
    first = write(desk, NEW)
    assert first is not None
    assert write(desk, replace(first, epoch=2)) is not None
    assert write(desk, replace(first, epoch=3)) is None


def test_what_is_there_is_not_created(desk: Desk) -> None:
    first = write(desk, NEW)
    assert write(desk, NEW) is None
    assert read(desk) == (first,)


def test_what_was_deleted_is_not_swapped(desk: Desk, api: FakeApi) -> None:
    first = write(desk, NEW)
    assert first is not None
    api.delete(LEASE, NAME, namespace=NAMESPACE)
    assert write(desk, first) is None


def test_a_lease_that_lost_its_label_is_none_and_is_created_again(desk: Desk, api: FakeApi) -> None:
    write(desk, NEW)
    stripped = api.get(LEASE, NAME, namespace=NAMESPACE)
    assert stripped is not None
    api.replace(LEASE, {"metadata": {"name": NAME, "namespace": NAMESPACE,
        "resourceVersion": stripped.metadata.resource_version}, "spec": stripped.spec})  # fmt: skip
    assert read(desk) == ()
    again = write(desk, replace(NEW, epoch=2))
    assert again is not None
    assert read(desk) == (again,)


def test_the_gateway_owns_it_where_its_uid_is_known(desk: Desk, api: FakeApi) -> None:
    write(desk, NEW, owner="1-2-3")
    lease = api.get(LEASE, NAME, namespace=NAMESPACE)
    assert lease is not None
    assert [owner.uid for owner in lease.metadata.owner_references] == ["1-2-3"]


def test_a_missing_namespace_is_a_failure_not_a_refusal(desk: Desk, api: FakeApi) -> None:
    api.fail("create", ApiNotFound("no namespace", status=404))
    with pytest.raises(ApiNotFound):
        write(desk, NEW)


def test_one_lease_that_can_not_be_decoded_spoils_the_list(desk: Desk, api: FakeApi) -> None:
    write(desk, NEW)
    labelled = {"name": "garbage", "namespace": NAMESPACE, "labels": {GATEWAY: "internet"}}
    api.put(LEASE, {"metadata": labelled, "spec": {}})
    api._objects[LEASE, (NAMESPACE, "garbage")]["spec"] = {"leaseTransitions": "seven"}
    with pytest.raises(ApiRefused, match="can't be read"):
        read(desk)


def test_nothing_is_asked_when_it_is_too_late(desk: Desk, api: FakeApi) -> None:
    with pytest.raises(ApiUnavailable, match="no time"):
        desk.read(Job(ReadLeases(1), time.monotonic()), gateways=())
    assert api.calls == []
