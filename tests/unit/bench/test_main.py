from click.testing import CliRunner

from bench.__main__ import main
from bench.registry import BENCHMARKS


def test_without_a_name_all_are_listed_a_line_each() -> None:
    listed = CliRunner().invoke(main, []).output.splitlines()
    assert [line.split()[0] for line in listed] == [one.name for one in BENCHMARKS]


def test_a_wrong_name_is_answered_with_the_right_ones() -> None:
    result = CliRunner().invoke(main, ["speed"])
    assert result.exit_code != 0
    assert "programming" in result.output
