"""Container images without a registry or a builder: a docker-archive tar, always the same bytes."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

PAUSE_IMAGE = "localhost/pause:1"
PROBE_IMAGE = "localhost/outgate-probe:1"
_EMPTY_FOLDERS = ("dev", "etc", "proc", "run", "sys", "tmp", "var")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write_image(
    target: Path, tags: Sequence[str], files: Mapping[str, Path], *, entrypoint: Sequence[str] = ()
) -> None:
    """Write a one-layer image that `ctr images import` takes.

    `files` maps a path in the image to the file on this machine; modes are kept.
    """
    layer = _layer(files)
    digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": [f"PATH={_PATH}"], "Entrypoint": list(entrypoint)},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        },
        sort_keys=True,
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    layer_name = f"{digest}/layer.tar"
    manifest = [{"Config": config_name, "RepoTags": list(tags), "Layers": [layer_name]}]
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    with tarfile.open(partial, "w", format=tarfile.GNU_FORMAT) as archive:
        _add(archive, config_name, config)
        _add(archive, layer_name, layer)
        _add(archive, "manifest.json", json.dumps(manifest, sort_keys=True).encode())
    partial.rename(target)


def _layer(files: Mapping[str, Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as layer:
        folders = {PurePosixPath(folder) for folder in _EMPTY_FOLDERS}
        for name in files:
            folders.update(PurePosixPath(name.lstrip("/")).parents[:-1])
        for folder in sorted(folders):
            info = tarfile.TarInfo(str(folder))
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            layer.addfile(info)
        for name, source in sorted(files.items()):
            mode = 0o755 if os.access(source, os.X_OK) else 0o644
            _add(layer, name.lstrip("/"), source.read_bytes(), mode=mode)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes, *, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)  # owner 0, time 0: the same input gives the same bytes
    info.size, info.mode = len(data), mode
    archive.addfile(info, io.BytesIO(data))
