from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.failover.watch import (
    Answer,
    Span,
    Together,
    Track,
    answering,
    blind,
    moves,
    outages,
    together,
    unserved,
    wrong,
)

A, B = 0xA, 0xB


def track(text: str) -> Track:
    """Probes a second apart: `x` is answered, `.` is not."""
    sent = {number: float(number) for number in range(len(text))}
    answers = [Answer(n + 0.1, n, A) for n, letter in enumerate(text) if letter == "x"]
    return Track(sent, answers)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("xxxx", []),
        ("x..x", [(1, 3)]),
        ("x.x.x", [(1, 2), (3, 4)]),
        ("..xx", [(0, 2)]),
        ("xx..", [(2, 4)]),
        ("....", [(0, 4)]),
        ("", []),
    ],
)
def test_an_outage_is_from_the_first_lost_probe_to_the_next_answered_one(
    text: str, expected: list[tuple[float, float]]
) -> None:
    assert outages(track(text), end=4.0 if len(text) == 4 else 9.0) == tuple(
        Span(start, end) for start, end in expected
    )


@given(st.text("x.", min_size=1))
def test_outages_hold_all_lost_probes_and_no_answered_one(text: str) -> None:
    spans = outages(track(text), end=float(len(text)))
    inside = {n for n in range(len(text)) for span in spans if span.start <= n < span.end}
    assert inside == {n for n, letter in enumerate(text) if letter == "."}


@given(st.text("x.", min_size=1))
def test_time_without_service_is_that_of_the_lost_probes(text: str) -> None:
    assert unserved(track(text), end=float(len(text))) == text.count(".")


def test_one_who_answers_twice_is_answered_once() -> None:
    twice = Track({0: 0.0}, [Answer(0.1, 0, A), Answer(0.2, 0, B)])
    assert outages(twice, end=1.0) == ()


def test_a_part_of_a_track_has_the_answers_to_its_probes_whenever_they_came() -> None:
    whole = track("xxxx")
    whole.answers.append(Answer(99.0, 1, B))
    part = whole.during(Span(1.0, 3.0))
    assert set(part.sent) == {1, 2}
    assert [one.at for one in part.answers] == [1.1, 2.1, 99.0]


def test_a_stalled_observer_is_told() -> None:
    assert blind(Track({0: 0.0, 1: 0.01, 2: 0.5, 3: 0.51})) == pytest.approx(0.49)
    assert blind(Track({0: 0.0})) == 0.0


def answers(who: int, times: Sequence[float]) -> list[Answer]:
    return [Answer(at, 0, who) for at in times]


@pytest.mark.parametrize(
    ("a", "b", "most"),
    [
        ([0.0, 0.01], [], 1),
        ([0.0, 0.01], [0.02, 0.03], 1),
        ([0.0, 0.01, 0.02], [0.01, 0.02], 2),
        ([0.0, 0.05, 0.1], [0.02], 2),
        ([0.0, 1.0], [0.5], 1),
        ([0.0], [0.0], 2),
        ([], [], 0),
    ],
    ids=["alone", "after", "beside", "within", "apart", "to one probe", "nobody"],
)
def test_who_answers_between_two_answers_of_another_answers_at_once_with_him(
    a: list[float], b: list[float], most: int
) -> None:
    assert together(answering(answers(A, a) + answers(B, b))).most == most


def test_how_long_two_answer_is_the_time_in_which_both_do() -> None:
    spans = {A: [Span(0, 3)], B: [Span(1, 2), Span(2.5, 5)], 0xC: [Span(1.5, 1.75)]}
    found = together(spans)
    assert found.most == 3
    assert found.seconds == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("a", "b", "count"),
    [
        ([(0, 9)], [], 0),
        ([(0, 1), (8, 9)], [], 0),
        ([(0, 1)], [(3, 9)], 1),
        ([(0, 3)], [(2, 9)], 1),
        ([(0, 1), (5, 6)], [(3, 9)], 1),
        ([(0, 1), (5, 9)], [(3, 4)], 2),
    ],
    ids=[
        "alone",
        "with a gap",
        "after",
        "at once for a while",
        "comes and gives way",
        "to and fro",
    ],
)
def test_it_is_a_move_when_another_one_is_left_alone(
    a: list[tuple[float, float]], b: list[tuple[float, float]], count: int
) -> None:
    assert moves({A: [Span(*one) for one in a], B: [Span(*one) for one in b]}) == count


times = st.lists(st.floats(0, 10), min_size=1, max_size=30)


@given(times, times)
def test_the_order_of_answers_does_not_matter(a: list[float], b: list[float]) -> None:
    mixed = answers(A, a) + answers(B, b)
    assert answering(mixed) == answering(mixed[::-1])


@given(times)
def test_one_alone_is_never_two(a: list[float]) -> None:
    assert together(answering(answers(A, a))) == Together(1, 0.0)


@given(times, times)
def test_two_are_at_once_no_longer_than_either_answers(a: list[float], b: list[float]) -> None:
    spans = answering(answers(A, a) + answers(B, b))
    least = min(sum(span.seconds for span in each) for each in spans.values())
    assert together(spans).seconds <= least + 1e-9


@given(times)
def test_every_answer_lies_in_a_span(a: list[float]) -> None:
    spans = answering(answers(A, a))[A]
    assert all(any(span.start <= at <= span.end for span in spans) for at in a)


def test_what_comes_with_another_source_is_counted() -> None:
    seen = [Answer(0.0, 0, 7), Answer(0.1, 1, 8), Answer(0.2, 2, 7)]
    assert wrong(Track(seen=seen), 7) == 1
