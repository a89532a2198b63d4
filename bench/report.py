"""Shows figures to people (a table) and to programs (`bench/results/<name>.json`)."""

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import ROOT
from bench.figures import Figure

RESULTS = ROOT / "bench" / "results"

_VERDICTS = {None: "", True: "[green]met[/green]", False: "[red]missed[/red]"}


def machine() -> dict[str, Any]:
    """What the figures were measured on; the load is that of the last minute, before the run."""
    models = {
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    }
    return {
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "cpu": ", ".join(sorted(models)),
        "load": round(os.getloadavg()[0], 2),
    }


def document(name: str, figures: Sequence[Figure], *, machine: dict[str, Any]) -> dict[str, Any]:
    """What the result's file holds."""
    return {
        "bench": name,
        "machine": machine,
        "figures": [
            {
                "id": one.id,
                "value": one.value,
                "unit": one.unit,
                "goal": one.goal,
                "better": one.better,
            }
            for one in figures
        ],
    }


def write(name: str, content: dict[str, Any], *, folder: Path = RESULTS) -> Path:
    """Write the result's file; where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


def show(name: str, figures: Sequence[Figure], *, console: Console | None = None) -> None:
    """Print the table. A spread stands beside its figure, not in a line of its own."""
    by_id = {one.id: one for one in figures}
    table = Table(title=name, title_justify="left", box=None, pad_edge=False)
    table.add_column("figure")
    for title in ("value", "± spread"):
        table.add_column(title, justify="right")
    table.add_column("unit")
    table.add_column("goal", justify="right")
    table.add_column("")
    for one in figures:
        if one.id.endswith("-spread") and one.id.removesuffix("-spread") in by_id:
            continue
        beside = by_id.get(f"{one.id}-spread")
        sign = "≤" if one.better == "lower" else "≥"
        table.add_row(
            one.id,
            _number(one.value),
            _number(beside.value) if beside else "",
            one.unit,
            "" if one.goal is None else f"{sign} {_number(one.goal)}",
            _VERDICTS[one.met],
        )
    (console or Console()).print(table)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
