"""What is on disk is what is declared, checked and shipped.

A folder that is not declared imports fine in an editable install and is missing from the wheel.
"""

import configparser
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP = "outgate"


def _setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def _package_dir() -> dict[str, str]:
    lines = _setup()["options"]["package_dir"].split("\n")
    pairs = (line.split("=") for line in lines if line.strip())
    return {name.strip(): folder.strip() for name, folder in pairs}


FOLDERS = sorted(path.parent.name for path in ROOT.glob("*/py.typed"))


def test_every_folder_of_code_is_typed() -> None:
    not_packages = {"tests", "typings", "hack", "bench", "image", "docs"}
    with_code = {
        path.parent.name
        for path in ROOT.glob("*/*.py")
        if not path.parent.name.startswith(".") and path.parent.name not in not_packages
    }
    assert with_code <= set(FOLDERS)


def test_every_folder_is_mapped_to_a_package_of_its_name() -> None:
    assert _package_dir() == {f"{TOP}.{folder}": folder for folder in FOLDERS}


def test_every_mapped_package_is_listed() -> None:
    inner = {
        f"{TOP}." + ".".join(path.parent.relative_to(ROOT).parts)
        for folder in FOLDERS
        for path in (ROOT / folder).glob("*/__init__.py")
    }
    assert _setup()["options"]["packages"].split() == sorted(_package_dir().keys() | inner)


def test_type_checkers_see_every_package() -> None:
    links = {path.name: path.resolve() for path in (ROOT / "typings" / TOP).iterdir()}
    assert links == {folder: ROOT / folder for folder in FOLDERS}


def test_there_is_no_umbrella_folder() -> None:
    # It would win over the map wherever the checkout is the working directory.
    assert not (ROOT / TOP).exists()
    assert [path for path in ROOT.glob("*/__init__.py") if path.parent.name == TOP] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names in a wheel made from a copy: `build/` of the checkout would keep deleted modules."""
    copy = tmp_path_factory.mktemp("checkout")
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for name in tracked:
        source = ROOT / name
        if source.is_file() and not name.startswith("tests/"):
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    subprocess.run(
        [sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--out-dir", "dist"],
        cwd=copy,
        check=True,
        capture_output=True,
    )
    (made,) = (copy / "dist").glob("*.whl")
    return zipfile.ZipFile(made).namelist()


def test_the_wheel_installs_nothing_but_ours(wheel: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {TOP}


def test_the_wheel_has_every_module_and_its_type_marker(wheel: list[str]) -> None:
    wanted = {
        f"{TOP}/{folder}/{path.name}"
        for folder in FOLDERS
        for path in [*(ROOT / folder).glob("*.py"), ROOT / folder / "py.typed"]
    }
    assert wanted <= set(wheel)
