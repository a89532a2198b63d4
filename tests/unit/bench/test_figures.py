import pytest

from bench.figures import Better, Figure, percentile, ratios, spread, summary


@pytest.mark.parametrize(
    ("value", "goal", "better", "met"),
    [
        (1.2, 1.25, "lower", True),
        (1.3, 1.25, "lower", False),
        (1.3, 1.25, "higher", True),
        (1.3, None, "lower", None),
    ],
)
def test_a_goal_is_met_on_its_better_side(
    value: float, goal: float | None, better: Better, met: bool | None
) -> None:
    assert Figure("a", value, "x", goal, better).met is met


def test_the_99th_percentile_of_a_hundred_is_not_the_worst() -> None:
    assert percentile(range(1, 101), 99) == 99


def test_the_99th_percentile_of_few_is_the_worst() -> None:
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0


def test_one_outlier_does_not_widen_the_spread() -> None:
    assert spread([1.0, 1.0, 1.0, 1.0, 100.0]) == 0.0


def test_one_sample_has_no_spread() -> None:
    assert spread([5.0]) == 0.0


def test_ratios_are_those_of_each_round() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


def test_a_summary_is_median_and_spread_and_only_the_median_has_the_goal() -> None:
    assert summary("cost", [1.0, 2.0, 3.0], unit="ns", goal=2.0) == (
        Figure("cost", 2.0, "ns", 2.0),
        Figure("cost-spread", 1.0, "ns"),
    )
