"""Whether the API server answers."""

from outgate.vip.engine.actions import ReadLeases, WriteLease
from outgate.vip.engine.events import Record
from outgate.vip.engine.requests import Requests
from outgate.vip.engine.settings import DEFAULTS

LEASE = Record("egress", "node-a", 1, 1, True, 0.0)


def read(requests: Requests, now: float) -> int:
    action = requests.read(now=now, most=0.0)
    assert isinstance(action, ReadLeases)
    return action.request


def test_nothing_is_known_before_the_first_answer() -> None:
    requests = Requests(DEFAULTS)
    read(requests, 1.0)
    assert not requests.sees(1.1)
    assert not requests.away(1.1)


def test_an_answer_overdue_means_away_and_a_later_answer_means_back() -> None:
    requests = Requests(DEFAULTS)
    read(requests, 1.0)
    assert requests.away(2.0)
    second = read(requests, 2.0)
    requests.answered(second)
    assert requests.sees(2.1)
    assert not requests.away(9.0)


def test_a_failure_means_away_until_an_answer() -> None:
    requests = Requests(DEFAULTS)
    requests.failed(read(requests, 1.0), now=1.1)
    assert requests.away(1.1)
    requests.answered(read(requests, 1.5))
    assert requests.sees(1.6)


def test_readings_keep_their_distance_and_one_is_awaited() -> None:
    requests = Requests(DEFAULTS)
    first = read(requests, 1.0)
    assert requests.read(now=1.5, most=0.0) is None
    requests.answered(first)
    assert requests.read(now=1.2, most=0.0) is None
    assert requests.read(now=1.5, most=1.0) is None
    assert requests.read(now=1.5, most=0.0) is not None


def test_one_write_of_a_lease_is_awaited_and_a_refused_one_waits_a_little() -> None:
    requests = Requests(DEFAULTS)
    action = requests.write(LEASE, now=1.0)
    assert isinstance(action, WriteLease)
    assert requests.write(LEASE, now=1.1) is None
    requests.refused(action.request, now=1.1)
    assert requests.write(LEASE, now=1.2) is None
    assert requests.write(LEASE, now=1.4) is not None
