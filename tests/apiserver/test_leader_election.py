import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from apiserver.harness import ApiServer, until

from outgate.api.kinds import LEASE
from outgate.kube.client import Client
from outgate.kube.election import Timing
from outgate.kube.lease import LeaderElection

pytestmark = pytest.mark.kernel

FAST = Timing(duration=3.0, renew_deadline=2.0, retry=0.2)


@pytest.fixture
def candidates(client: Client, namespace: str) -> tuple[LeaderElection, LeaderElection]:
    first, second = (
        LeaderElection(client, lease="tests", namespace=namespace, me=me, timing=FAST)
        for me in ("first", "second")
    )
    return first, second


@contextmanager
def running(candidate: LeaderElection) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=candidate.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def test_of_two_candidates_one_leads(
    candidates: tuple[LeaderElection, LeaderElection],
) -> None:
    first, second = candidates
    with running(first):
        until("the first leads", first.leading)
        with running(second):
            until("the second knows", lambda: second.holder == "first")
            assert second.ready()
            assert not second.leading()


def test_the_second_takes_over_after_a_release_without_waiting_for_the_lease(
    candidates: tuple[LeaderElection, LeaderElection],
) -> None:
    first, second = candidates
    with running(first) as stop_first:
        until("the first leads", first.leading)
        with running(second):
            until("the second knows", lambda: second.holder == "first")
            stop_first.set()
            until("the second leads", second.leading, timeout=FAST.duration / 2)
            assert not first.leading()


def test_the_second_takes_over_after_a_crash_once_the_lease_has_run_out(
    candidates: tuple[LeaderElection, LeaderElection],
) -> None:
    first, second = candidates
    first.step()  # and never again: crashed
    assert first.leading()
    with running(second):
        until("the second leads", second.leading)
        assert not first.leading()


def test_both_claim_a_free_lease_and_one_gets_it(client: Client, namespace: str) -> None:
    many = [
        LeaderElection(client, lease="tests", namespace=namespace, me=f"c{number}", timing=FAST)
        for number in range(6)
    ]
    threads = [threading.Thread(target=candidate.step) for candidate in many]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(candidate.leading() for candidate in many) == 1


def test_a_leader_whose_server_hangs_leads_no_more_before_the_lease_runs_out(
    apiserver: ApiServer, candidates: tuple[LeaderElection, LeaderElection]
) -> None:
    first, _ = candidates
    with running(first):
        until("it leads", first.leading)
        apiserver.pause()
        try:
            until("it leads no more", lambda: not first.leading(), timeout=FAST.duration)
        finally:
            apiserver.resume()
        until("it leads again", first.leading)


def test_a_label_put_on_the_lease_costs_no_leadership(
    client: Client, namespace: str, candidates: tuple[LeaderElection, LeaderElection]
) -> None:
    first, _ = candidates
    first.step()
    label = {"metadata": {"labels": {"by": "somebody"}}}
    client.apply(LEASE, "tests", label, namespace=namespace, manager="somebody")
    first.step()
    assert first.leading()
    lease = client.get(LEASE, "tests", namespace=namespace)
    assert lease is not None
    assert lease.metadata.labels == {"by": "somebody"}


def test_a_released_lease_names_nobody(
    client: Client, namespace: str, candidates: tuple[LeaderElection, LeaderElection]
) -> None:
    first, _ = candidates
    with running(first):
        until("it leads", first.leading)
    lease = client.get(LEASE, "tests", namespace=namespace)
    assert lease is not None
    assert lease.spec.holder_identity is None
