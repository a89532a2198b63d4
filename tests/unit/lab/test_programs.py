import os
from pathlib import Path

import pytest

from outgate.lab import LabError, build, programs


def fake(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return program


def test_a_program_of_the_wanted_version_is_taken(tmp_path: Path) -> None:
    fake(tmp_path / "old", "kube-apiserver", "Kubernetes v1.30.0")
    fits = fake(tmp_path / "new", "kube-apiserver", f"Kubernetes {programs.KUBERNETES}")
    folders = [tmp_path / "none", tmp_path / "old", tmp_path / "new"]
    assert programs.installed(programs.KUBE_APISERVER, folders) == fits


def test_a_program_of_another_version_is_left_alone(tmp_path: Path) -> None:
    fake(tmp_path, "helm", "v3.10.0")
    fake(tmp_path, "kubectl", '{"clientVersion": {"gitVersion": "v1.32.4"}}')
    assert programs.installed(programs.HELM_PROGRAM, [tmp_path]) is None
    assert programs.installed(programs.KUBECTL, [tmp_path]) is None


def test_kubebuilder_assets_come_before_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", "/assets")
    monkeypatch.setenv("PATH", os.pathsep.join(["/a", "/b"]))
    assert programs.search_folders() == (Path("/assets"), Path("/a"), Path("/b"))


def test_what_is_missing_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        programs,
        "find_system",
        lambda command: None if command in ("etcd", "gcc") else f"/usr/bin/{command}",
    )
    with pytest.raises(LabError, match=r"missing programs: etcd; .*apt-get install etcd-server"):
        programs.check_system(building=False)
    with pytest.raises(LabError, match="etcd, gcc"):
        programs.check_system(building=True)


def test_every_program_has_its_modules_at_the_version_of_its_folder() -> None:
    for program in programs.GO_PROGRAMS:
        text = (build.SOURCES / "gomods" / program.module / "go.mod").read_text()
        version = program.folder.rsplit("-", 1)[1]
        assert any(f"{prefix} {version}" in text for prefix in _prefixes(program.package)), (
            program.package
        )


def _prefixes(package: str) -> list[str]:
    parts = package.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
