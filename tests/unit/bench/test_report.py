import io
import json
from pathlib import Path

from rich.console import Console

from bench import report
from bench.figures import Figure

FIGURES = (
    Figure("cost", 1.31, "x", 1.25),
    Figure("cost-spread", 0.04, "x"),
    Figure("rate", 12345.0, "1/s", 10000.0, "higher"),
)


def test_the_file_has_every_figure_with_its_goal_or_null(tmp_path: Path) -> None:
    content = report.document("some", FIGURES, machine={"cpus": 2})
    written = json.loads(report.write("some", content, folder=tmp_path / "results").read_text())
    assert written["bench"] == "some"
    assert written["machine"] == {"cpus": 2}
    assert written["figures"][1] == {
        "id": "cost-spread",
        "value": 0.04,
        "unit": "x",
        "goal": None,
        "better": "lower",
    }
    assert [one["better"] for one in written["figures"]] == ["lower", "lower", "higher"]


def test_the_table_has_the_spread_beside_its_figure_and_says_whether_the_goal_is_met() -> None:
    text = io.StringIO()
    report.show("some", FIGURES, console=Console(file=text, width=100))
    cost, rate = text.getvalue().splitlines()[-2:]
    assert cost.split() == ["cost", "1.31", "0.04", "x", "≤", "1.25", "missed"]
    assert rate.split() == ["rate", "12,345", "1/s", "≥", "10,000", "met"]
