from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.failover.watch import Answer, Span, Track
from bench.flows.continuity import Flow, changed, delays, goes_on, silence, toll

SPAN = Span(0.0, 10.0)
STEADY = tuple(n / 10 for n in range(101))


def flow(
    heard: Sequence[float] = STEADY,
    *,
    broken: str = "",
    pushed: bool = False,
    remapped: bool = False,
) -> Flow:
    return Flow(pushed, remapped, tuple(heard), broken)


@pytest.mark.parametrize(
    ("one", "on"),
    [
        (flow(), True),
        (flow(STEADY[:50]), False),
        (flow([0.1, 9.0]), True),
        (flow([]), False),
        (flow(broken="ConnectionResetError"), False),
    ],
    ids=["steady", "silent at the end", "silent meanwhile", "never heard", "reset"],
)
def test_a_flow_goes_on_if_it_is_whole_and_heard_at_the_end(one: Flow, on: bool) -> None:
    assert goes_on(one, SPAN) is on


@pytest.mark.parametrize(
    ("heard", "seconds"),
    [
        ([1.0, 2.0, 6.5, 9.0], 4.5),
        ([9.0], 9.0),
        ([-5.0, 2.0, 15.0], 8.0),
        ([], 10.0),
        ([6.0, 2.0], 4.0),
    ],
)
def test_the_longest_silence_is_counted_within_the_span_only(
    heard: list[float], seconds: float
) -> None:
    assert silence(flow(heard), SPAN) == seconds


@given(st.lists(st.floats(-5, 15)), st.floats(-5, 15))
def test_hearing_more_makes_no_silence_longer(heard: list[float], more: float) -> None:
    assert silence(flow([*heard, more]), SPAN) <= silence(flow(heard), SPAN)


def test_the_toll_tells_which_kinds_of_flows_ended() -> None:
    flows = [
        flow(),
        flow(pushed=True, broken="reset"),
        flow(remapped=True, broken="reset"),
        flow(remapped=True),
        flow([]),
    ]
    told = toll(flows, SPAN)
    assert (told.flows, told.ended, told.pushed, told.remapped, told.remaps) == (5, 3, 1, 1, 2)
    assert told.reset == 2
    assert told.silences == pytest.approx((0.1, 0.1))


def test_a_probe_took_until_its_first_answer() -> None:
    track = Track(
        {0: 0.0, 1: 1.0, 2: 2.0}, [Answer(0.5, 0, 7), Answer(0.2, 0, 7), Answer(2.1, 2, 7)]
    )
    assert delays(track) == pytest.approx([0.2, 0.1])


def test_the_holder_changed_when_another_first_answered() -> None:
    track = Track(
        {n: float(n) for n in range(4)}, [Answer(n + 0.1, n, 8 if n > 1 else 7) for n in range(4)]
    )
    assert changed(track, SPAN, {7}) == 2.1
    assert changed(track, SPAN, {7, 8}) is None
    assert changed(track, Span(3.0, 4.0), {7}) == 3.1
