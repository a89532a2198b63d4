from datetime import UTC, datetime, timedelta

from outgate.controller.status import Finding, Moment, condition_of, conditions

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> Moment:
    return Moment(seconds, T0 + timedelta(seconds=seconds))


def test_time_of_the_last_change_is_that_of_the_status_not_of_the_reason() -> None:
    first = conditions([Finding("Ready", True, "A")], before=(), generation=1, now=at(0))
    second = conditions([Finding("Ready", True, "B")], before=first, generation=2, now=at(9))
    third = conditions([Finding("Ready", False, "C")], before=second, generation=3, now=at(20))
    assert [c.last_transition_time for c in (*first, *second, *third)] == [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:20Z",
    ]
    assert [c.observed_generation for c in (*first, *second, *third)] == [1, 2, 3]


def test_conditions_are_sorted_and_those_that_are_not_found_any_more_are_gone() -> None:
    before = conditions([Finding("Old", True, "X")], before=(), generation=1, now=at(0))
    after = conditions(
        [Finding("Z", True, "X"), Finding("A", False, "X")], before=before, generation=1, now=at(1)
    )
    assert [c.type for c in after] == ["A", "Z"]
    assert condition_of(after, "Old") is None


def test_age_of_timestamps() -> None:
    now = at(60)
    assert now.age("2026-01-01T00:00:00Z") == 60
    assert now.age("2026-01-01T00:00:30.5+00:00") == 29.5
    assert now.age("2026-01-01T00:00:30") == 30
    assert now.age("nonsense") == 0
