"""What decides whether an image is built anew, and what goes into it."""

import configparser
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`image/build.py`, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("image_build", ROOT / "image" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "image_build", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(build: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A checkout of two files under `agent/`, as the module's own."""
    monkeypatch.setattr(build, "ROOT", tmp_path)
    folder = tmp_path / "agent"
    folder.mkdir()
    (folder / "a.py").write_text("a = 1\n")
    (folder / "b.py").write_text("b = 1\n")
    return tmp_path


def hash_of(build: ModuleType, tree: Path, *, salt: str = "") -> str:
    result: str = build.inputs_hash(sorted(tree.rglob("*.py")), salt=salt)
    return result


def test_the_same_files_give_the_same_hash(build: ModuleType, tree: Path) -> None:
    assert hash_of(build, tree) == hash_of(build, tree)


def test_another_content_gives_another_hash(build: ModuleType, tree: Path) -> None:
    before = hash_of(build, tree)
    (tree / "agent" / "a.py").write_text("a = 2\n")
    assert hash_of(build, tree) != before


def test_another_name_gives_another_hash(build: ModuleType, tree: Path) -> None:
    before = hash_of(build, tree)
    (tree / "agent" / "a.py").rename(tree / "agent" / "c.py")
    assert hash_of(build, tree) != before


def test_another_base_gives_another_hash(build: ModuleType, tree: Path) -> None:
    assert hash_of(build, tree, salt="trixie-1") != hash_of(build, tree, salt="trixie-2")


def test_inputs_are_source_and_set_up_but_no_tests_lab_or_bytecode(build: ModuleType) -> None:
    names = {str(path.relative_to(ROOT)) for path in build.inputs()}
    assert {"setup.cfg", "LICENSE", "cli/main.py", "lab/py.typed"} <= names
    assert {"image/Containerfile", "image/build.py", "image/requirements.lock"} <= names
    assert not [name for name in names if re.search(r"^tests/|\.pyc$|^lab/.*\.py$", name)]


def test_every_package_of_setup_cfg_reaches_the_builder(build: ModuleType) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    folders = {
        line.split("=")[1].strip() for line in setup["options"]["package_dir"].strip().splitlines()
    }
    allowed = {
        line[1:].split("/")[0]
        for line in build.IGNORE_FILE.read_text().splitlines()
        if line.startswith("!")
    }
    assert folders <= allowed


def test_the_lock_pins_every_requirement_of_setup_cfg(build: ModuleType) -> None:
    pinned = set(re.findall(r"^([a-z0-9-]+)==", build.LOCK.read_text(), re.MULTILINE))
    wanted = {re.split(r"[<>=]", requirement)[0].lower() for requirement in build.requirements()}
    assert wanted <= pinned, "run: python image/build.py --lock"


def test_a_missing_program_is_named_with_the_package_that_has_it(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(build.os, "geteuid", lambda: 0)
    monkeypatch.setattr(build.shutil, "which", lambda _: None)
    with pytest.raises(build.BuildError, match="apt-get install buildah debootstrap"):
        build.Store(tmp_path).open()


def test_without_root_it_says_so(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(build.os, "geteuid", lambda: 1000)
    with pytest.raises(build.BuildError, match="sudo"):
        build.Store(tmp_path).open()


def test_a_failed_program_is_reported_with_its_last_words(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(build.os, "geteuid", lambda: 0)
    monkeypatch.setattr(build.shutil, "which", lambda name: name)
    monkeypatch.setenv("STORAGE_DRIVER", "vfs")
    program = tmp_path / "buildah"
    program.write_text("#!/bin/sh\ncase $* in *images*) ;; *) echo no space left; exit 1;; esac\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    store = build.Store(tmp_path)
    store.open()
    with pytest.raises(build.BuildError, match="no space left"):
        store.save("image", "localhost/outgate:dev", tmp_path / "outgate.tar")
    assert not (tmp_path / "outgate.tar").exists()


def test_only_the_newest_archives_are_kept(build: ModuleType, tmp_path: Path) -> None:
    for number in range(5):
        archive = tmp_path / f"outgate-0.1.0-{number}.tar"
        archive.write_bytes(b"")
        build.os.utime(archive, (number, number))
    build.forget_old(tmp_path)
    assert sorted(path.name[-5] for path in tmp_path.iterdir()) == ["2", "3", "4"]
