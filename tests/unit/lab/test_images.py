import hashlib
import json
import tarfile
from pathlib import Path

from outgate.lab.images import write_image


def make(folder: Path, target: str) -> Path:
    program = folder / "program"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    archive = folder / target
    write_image(
        archive,
        ["localhost/a:1", "localhost/b:1"],
        {"/usr/bin/program": program},
        entrypoint=["/usr/bin/program"],
    )
    return archive


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    first = make(tmp_path, "one.tar").read_bytes()
    (tmp_path / "program").touch()
    assert make(tmp_path, "two.tar").read_bytes() == first


def test_the_archive_is_what_its_manifest_says(tmp_path: Path) -> None:
    with tarfile.open(make(tmp_path, "image.tar")) as archive:
        contents = {
            member.name: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive
        }
    (manifest,) = json.loads(contents["manifest.json"])
    assert manifest["RepoTags"] == ["localhost/a:1", "localhost/b:1"]
    config = json.loads(contents[manifest["Config"]])
    (layer,) = manifest["Layers"]
    digest = f"sha256:{hashlib.sha256(contents[layer]).hexdigest()}"
    assert config["rootfs"]["diff_ids"] == [digest]
    assert config["config"]["Entrypoint"] == ["/usr/bin/program"]


def test_files_keep_whether_they_can_be_run(tmp_path: Path) -> None:
    archive = make(tmp_path, "image.tar")
    with tarfile.open(archive) as outer:
        layer = next(member for member in outer if member.name.endswith("layer.tar"))
        with tarfile.open(fileobj=outer.extractfile(layer)) as inner:
            modes = {member.name: member.mode for member in inner}
    assert modes["usr/bin/program"] == 0o755
    assert modes["usr/bin"] == 0o755
    assert "tmp" in modes
