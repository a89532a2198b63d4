import threading

import pytest

from outgate.api.core import Lease
from outgate.api.kinds import LEASE
from outgate.kube.election import Timing
from outgate.kube.errors import ApiUnavailable
from outgate.kube.fake import FakeApi
from outgate.kube.lease import LeaderElection, identity

TIMING = Timing(duration=15.0, renew_deadline=10.0, retry=2.0)
AWAY = ApiUnavailable("away")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def candidate(api: FakeApi, clock: Clock, me: str) -> LeaderElection:
    return LeaderElection(
        api, lease="outgate", namespace="outgate", me=me, timing=TIMING, clock=clock
    )


def lease(api: FakeApi) -> Lease:
    found = api.get(LEASE, "outgate", namespace="outgate")
    assert found is not None
    return found


def stopped() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


def test_the_first_leads_and_the_second_follows(api: FakeApi, clock: Clock) -> None:
    first, second = candidate(api, clock, "first"), candidate(api, clock, "second")
    first.step()
    second.step()
    assert (first.leading(), second.leading()) == (True, False)
    assert (first.holder, second.holder) == ("first", "first")
    assert first.ready()
    assert second.ready()


def test_a_leader_that_renews_stays(api: FakeApi, clock: Clock) -> None:
    first, second = candidate(api, clock, "first"), candidate(api, clock, "second")
    for _ in range(20):
        first.step()
        second.step()
        assert first.leading()
        assert not second.leading()
        clock.now += 2.0
    assert lease(api).spec.lease_transitions == 0


def test_a_crashed_leader_is_followed_after_the_duration(api: FakeApi, clock: Clock) -> None:
    first, second = candidate(api, clock, "first"), candidate(api, clock, "second")
    first.step()
    second.step()
    clock.now += 14.9
    second.step()
    assert not second.leading()
    clock.now += 0.1
    second.step()
    assert second.leading()
    assert not first.leading()
    assert lease(api).spec.lease_transitions == 1


def test_a_leader_that_was_asleep_learns_that_it_lost(api: FakeApi, clock: Clock) -> None:
    first, second = candidate(api, clock, "first"), candidate(api, clock, "second")
    first.step()
    second.step()
    clock.now += 15.0
    second.step()
    first.step()
    assert second.leading()
    assert not first.leading()
    assert first.holder == "second"


def test_a_stopped_leader_gives_the_lease_back(api: FakeApi, clock: Clock) -> None:
    first, second = candidate(api, clock, "first"), candidate(api, clock, "second")
    first.step()
    first.run(stopped())
    assert not first.leading()
    assert lease(api).spec.holder_identity is None
    second.step()
    assert second.leading()


def test_a_stopped_follower_leaves_the_lease_alone(api: FakeApi, clock: Clock) -> None:
    first, second = candidate(api, clock, "first"), candidate(api, clock, "second")
    first.step()
    second.step()
    second.run(stopped())
    assert lease(api).spec.holder_identity == "first"


def test_a_leader_without_a_server_leads_until_the_deadline(api: FakeApi, clock: Clock) -> None:
    first = candidate(api, clock, "first")
    first.step()
    api.fail("*", AWAY, times=100)
    clock.now += 9.9
    first.step()
    assert first.leading()
    clock.now += 0.1
    assert not first.leading()


def test_a_write_whose_answer_was_lost_is_found_out_by_the_next_look(
    api: FakeApi, clock: Clock
) -> None:
    first = candidate(api, clock, "first")
    api.fail("create", AWAY, lost=True)
    first.step()
    assert not first.leading()
    clock.now += 2.0
    first.step()
    assert first.leading()
    api.fail("replace", AWAY, lost=True)
    clock.now += 2.0
    first.step()
    clock.now += 2.0
    first.step()
    clock.now += 9.0
    assert first.leading()


def test_a_lease_that_was_deleted_is_made_anew(api: FakeApi, clock: Clock) -> None:
    first = candidate(api, clock, "first")
    first.step()
    api.drop(LEASE, "outgate", namespace="outgate")
    clock.now += 2.0
    first.step()
    assert not first.leading()
    first.step()
    assert first.leading()


def test_labels_of_others_stay_on_the_lease(api: FakeApi, clock: Clock) -> None:
    first = candidate(api, clock, "first")
    first.step()
    label = {"metadata": {"labels": {"by": "somebody"}}}
    api.apply(LEASE, "outgate", label, namespace="outgate", manager="somebody")
    first.step()
    assert first.leading()
    assert lease(api).metadata.labels == {"by": "somebody"}


def test_subscribers_hear_when_leading_begins_and_ends(api: FakeApi, clock: Clock) -> None:
    first = candidate(api, clock, "first")
    heard: list[bool] = []
    first.subscribe(lambda: heard.append(first.leading()))
    first.step()
    first.step()
    first.run(stopped())
    assert heard == [True, False]


def test_a_lease_without_a_duration_is_given_ours(api: FakeApi, clock: Clock) -> None:
    body = {"metadata": {"name": "outgate", "namespace": "outgate"}}
    api.put(LEASE, {**body, "spec": {"holderIdentity": "other"}})
    first = candidate(api, clock, "first")
    first.step()
    assert not first.leading()
    clock.now += 15.0
    first.step()
    assert first.leading()


def test_no_two_processes_have_one_identity() -> None:
    assert identity() != identity()
