from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from outgate.cli.crds import differences, rendered
from outgate.cli.main import main

CRDS = Path(__file__).parents[3] / "charts" / "outgate" / "crds"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    for name, text in rendered().items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_charts_crds_are_what_api_says() -> None:
    assert differences(CRDS) == [], "run `make crds`"


def test_the_same_values_make_the_same_bytes() -> None:
    assert rendered() == rendered()


def test_a_file_is_named_for_the_plural_of_its_kind() -> None:
    assert "outgate.dev_egressgateways.yaml" in rendered()


def test_it_writes_what_it_then_finds_right(tmp_path: Path) -> None:
    assert CliRunner().invoke(main, ["crds", "--write", str(tmp_path)]).exit_code == 0
    assert CliRunner().invoke(main, ["crds", "--check", str(tmp_path)]).exit_code == 0


def test_without_a_folder_it_prints_them_all() -> None:
    printed = CliRunner().invoke(main, ["crds"]).output
    kinds = [document["spec"]["names"]["kind"] for document in yaml.safe_load_all(printed)]
    assert kinds == [yaml.safe_load(text)["spec"]["names"]["kind"] for text in rendered().values()]


def test_a_change_by_hand_is_found(written: Path) -> None:
    path = written / "outgate.dev_egresstunnels.yaml"
    path.write_text(path.read_text().replace("maxLength: 32", "maxLength: 33"))
    result = CliRunner().invoke(main, ["crds", "--check", str(written)])
    assert result.exit_code == 1
    assert "outgate.dev_egresstunnels.yaml differs from what api/ says" in result.output
    assert f"outgate crds --write {written}" in result.output


def test_a_missing_file_is_found(written: Path) -> None:
    (written / "outgate.dev_egresstunnels.yaml").unlink()
    assert differences(written) == ["outgate.dev_egresstunnels.yaml is missing"]


def test_a_file_that_is_left_over_is_found(written: Path) -> None:
    (written / "outgate.dev_others.yaml").write_text("kind: Other\n")
    result = CliRunner().invoke(main, ["crds", "--write", str(written)])
    assert result.exit_code == 1
    assert "outgate.dev_others.yaml is no definition of ours" in result.output


def test_write_and_check_exclude_each_other(written: Path) -> None:
    both = ["crds", "--write", str(written), "--check", str(written)]
    result = CliRunner().invoke(main, both)
    assert result.exit_code == 2
    assert "exclude each other" in result.output
