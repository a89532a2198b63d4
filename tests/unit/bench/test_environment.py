import pytest

from bench.environment import BadSetting, rounds


@pytest.mark.parametrize(("value", "count"), [(None, 3), ("", 3), ("1", 1), ("30", 30)])
def test_how_often_is_said_by_the_environment_or_left_to_the_benchmark(
    value: str | None, count: int
) -> None:
    given = {} if value is None else {"OUTGATE_MOVE_ROUNDS": value}
    assert rounds("MOVE", 3, environment=given) == count


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", " "])
def test_what_is_no_number_of_rounds_is_refused_by_its_variable(value: str) -> None:
    with pytest.raises(BadSetting, match="OUTGATE_MOVE_ROUNDS must be a whole number"):
        rounds("MOVE", 3, environment={"OUTGATE_MOVE_ROUNDS": value})
