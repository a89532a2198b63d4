import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outgate.daemon.backoff import Backoff


def test_each_failure_doubles_the_wait_up_to_the_most() -> None:
    backoff = Backoff(first=0.5, most=5.0)
    waits = [backoff.wait(failures, spread=0.5) for failures in range(7)]
    assert waits == [0.0, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_jitter_goes_both_ways() -> None:
    backoff = Backoff(first=1.0, jitter=0.3)
    assert backoff.wait(1, spread=0.0) == pytest.approx(0.7)
    assert backoff.wait(1, spread=1.0) == pytest.approx(1.3)


@settings(deadline=None)  # the machine is shared
@given(failures=st.integers(min_value=1, max_value=10**9))
def test_no_number_of_failures_leads_out_of_bounds(failures: int) -> None:
    backoff = Backoff(first=0.5, most=30.0, jitter=0.3)
    assert 0.35 <= backoff.wait(failures) <= 39.0
