"""The machine's limit of real-time processes: lifted while there are labs, and put back."""

from pathlib import Path

import pytest

from outgate.lab import realtime
from outgate.lab.errors import LabError

USUAL = "950000"


@pytest.fixture
def limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which cgroups have shares of the real time; the file of its limit."""
    for name in ("LIMIT", "KEPT", "SHARES"):
        monkeypatch.setattr(realtime, name, tmp_path / name)
    (tmp_path / "SHARES").touch()
    (tmp_path / "LIMIT").write_text(f"{USUAL}\n")
    return tmp_path / "LIMIT"


def test_it_is_lifted_for_the_first_lab_and_put_back_after_the_last(limit: Path) -> None:
    realtime.allow()
    assert limit.read_text() == "-1"
    realtime.allow()
    realtime.restore(lambda: ["another"])
    assert limit.read_text() == "-1"
    realtime.restore(list)
    assert limit.read_text() == USUAL
    limit.write_text("800000")
    realtime.restore(list)
    assert limit.read_text() == "800000"


@pytest.mark.parametrize("case", ["no shares", "lifted already"])
def test_where_nothing_is_in_the_way_nothing_is_changed(limit: Path, case: str) -> None:
    if case == "no shares":
        realtime.SHARES.unlink()
    else:
        limit.write_text("-1")
    before = limit.read_text()
    realtime.allow()
    assert limit.read_text() == before
    realtime.restore(list)
    assert limit.read_text() == before


def test_where_it_cant_be_lifted_a_lab_comes_up_all_the_same(
    limit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path: USUAL if path == limit else read(path))
    limit.unlink()
    limit.mkdir()
    realtime.allow()
    assert not realtime.KEPT.exists()


def test_a_limit_that_cant_be_put_back_is_named(
    limit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    realtime.allow()
    monkeypatch.setattr(realtime, "SECONDS", 0.1)
    limit.unlink()
    limit.mkdir()
    with pytest.raises(LabError, match=f"{limit} is -1, and was {USUAL}"):
        realtime.restore(list)
    assert realtime.KEPT.read_text() == USUAL
