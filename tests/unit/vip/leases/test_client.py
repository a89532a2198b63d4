import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from outgate.api.kinds import LEASE
from outgate.kube.api import Api
from outgate.kube.errors import ApiUnavailable
from outgate.kube.fake import FakeApi
from outgate.vip.engine.actions import ReadLeases, WriteLease
from outgate.vip.engine.events import (
    ApiFailed,
    Event,
    LeaseRefused,
    LeasesRead,
    LeaseWritten,
    Record,
)
from outgate.vip.engine.settings import DEFAULTS
from outgate.vip.leases import LeaseClient

NEW = Record("internet", "node-a", epoch=1, boot=1, inside=True, term=0.0)
SOON = 10.0

Make = Callable[..., LeaseClient]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[LeaseClient] = []

    def client(connect: Callable[[], Api], *, patience: float = 5.0) -> LeaseClient:
        settings = replace(DEFAULTS, api_patience=patience)
        made.append(LeaseClient(namespace="outgate", settings=settings, connect=connect))
        return made[-1]

    yield client
    for one in made:
        one.close()


def answers(client: LeaseClient, count: int) -> list[Event]:
    """So many events; each is waited for as a loop does."""
    came: list[Event] = []
    deadline = time.monotonic() + SOON
    while len(came) < count:
        ready, _, _ = select.select([client], [], [], deadline - time.monotonic())
        assert ready, f"only {came} in {SOON} s"
        came += client.take()
    return came


def test_each_request_has_its_answer(make: Make) -> None:
    api = FakeApi()
    client = make(lambda: api)
    client.submit(WriteLease(1, NEW))
    (written,) = answers(client, 1)
    assert isinstance(written, LeaseWritten)
    client.submit(WriteLease(2, NEW))
    assert answers(client, 1) == [LeaseRefused(2)]
    client.submit(ReadLeases(3))
    assert answers(client, 1) == [LeasesRead(3, (written.record,))]


def test_after_taking_them_there_is_nothing_to_wake_for(make: Make) -> None:
    api = FakeApi()
    client = make(lambda: api)
    client.submit(ReadLeases(1))
    answers(client, 1)
    assert client.take() == []
    assert select.select([client], [], [], 0)[0] == []


def test_no_thread_begins_before_there_is_a_request(make: Make) -> None:
    before = set(threading.enumerate())
    make(FakeApi)
    assert set(threading.enumerate()) <= before


def test_a_failure_is_an_answer_and_the_next_request_is_asked(make: Make) -> None:
    api = FakeApi()
    api.fail("list", ApiUnavailable("away"))
    client = make(lambda: api)
    client.submit(ReadLeases(1))
    assert answers(client, 1) == [ApiFailed(1)]
    client.submit(ReadLeases(2))
    assert answers(client, 1) == [LeasesRead(2, ())]


def test_what_nobody_has_thought_of_ends_no_thread(make: Make) -> None:
    class Odd(FakeApi):
        def pages(self, *args: object, **kwargs: object) -> Iterator[object]:  # type: ignore[override]
            raise RecursionError("an answer deeper than any parser")

    client = make(Odd)
    for request in (1, 2):
        client.submit(ReadLeases(request))
        assert answers(client, 1) == [ApiFailed(request)]


def test_where_there_is_no_way_to_the_api_server_it_is_looked_for_again(make: Make) -> None:
    api, tries = FakeApi(), iter([ApiUnavailable("no token yet"), None])

    def connect() -> Api:
        error = next(tries)
        if error:
            raise error
        return api

    client = make(connect)
    client.submit(ReadLeases(1))
    assert answers(client, 1) == [ApiFailed(1)]
    client.submit(ReadLeases(2))
    assert answers(client, 1) == [LeasesRead(2, ())]


class Slow(FakeApi):
    """Lists only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.go = threading.Event()

    def pages(self, *args: object, **kwargs: object) -> Iterator[object]:  # type: ignore[override]
        self.asked.set()
        assert self.go.wait(SOON)
        yield from super().pages(*args, **kwargs)  # type: ignore[arg-type]


def test_a_slow_list_holds_up_no_swap_and_piles_up_nothing(make: Make) -> None:
    api = Slow()
    client = make(lambda: api)
    client.submit(ReadLeases(1))
    assert api.asked.wait(SOON)
    for request in range(2, 10):
        client.submit(ReadLeases(request))
    client.submit(WriteLease(10, NEW))
    first = answers(client, 8)
    assert {event.request for event in first if isinstance(event, ApiFailed)} == set(range(2, 9))
    assert any(isinstance(event, LeaseWritten) for event in first)
    api.go.set()
    assert [event.request for event in answers(client, 2) if isinstance(event, LeasesRead)] == [
        1,
        9,
    ]


def test_what_comes_after_the_end_is_lost_and_writes_into_no_other_descriptor(make: Make) -> None:
    api = Slow()
    client = make(lambda: api)
    client.submit(ReadLeases(1))
    assert api.asked.wait(SOON)
    number = client.fileno()
    client.close()
    assert client.fileno() == -1
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(number)
    api.go.set()
    for thread in threading.enumerate():
        if thread.name.startswith("lease "):
            thread.join(SOON)
    assert client.take() == []


def test_the_gateways_uid_goes_into_its_leases(make: Make) -> None:
    api = FakeApi()
    client = make(lambda: api)
    client.own({"internet": "1-2-3"})
    client.submit(WriteLease(1, NEW))
    answers(client, 1)
    (lease,) = api.list(LEASE)[0]
    assert [owner.uid for owner in lease.metadata.owner_references] == ["1-2-3"]


def test_a_list_of_fewer_gateways_than_there_are_now_is_asked_for_again(make: Make) -> None:
    api = Slow()
    other = replace(NEW, gateway="uplink")
    client = make(lambda: api)
    client.own({"internet": "1"})
    written = []
    for request, record in enumerate((NEW, other), start=1):
        client.submit(WriteLease(request, record))
        written += [one.record for one in answers(client, 1) if isinstance(one, LeaseWritten)]
    client.submit(ReadLeases(3))
    assert api.asked.wait(SOON)
    client.own({"internet": "1", "uplink": "2"})
    api.go.set()
    (event,) = answers(client, 1)
    assert isinstance(event, LeasesRead)
    assert (event.request, set(event.records)) == (3, set(written))
    assert [call.method for call in api.calls].count("list") == 2


def test_a_list_of_more_gateways_than_there_are_now_will_do(make: Make) -> None:
    api = Slow()
    client = make(lambda: api)
    client.own({"internet": "1", "uplink": "2"})
    client.submit(ReadLeases(1))
    assert api.asked.wait(SOON)
    client.own({"uplink": "2"})
    api.go.set()
    assert answers(client, 1) == [LeasesRead(1, ())]
