"""Getting the lab's programs: reuse what fits, build the rest once, keep it by version.

Everything is built with one set of flags: another `-trimpath`, CGO setting or tag would be
another key of Go's build cache and compile the whole of Kubernetes again.
"""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from outgate.lab import golang, images, paths, programs
from outgate.lab.errors import LabError
from outgate.lab.programs import GO_PROGRAMS, GoProgram

Report = Callable[[str], None]
SOURCES = Path(__file__).resolve().parent
PROGRESS_SECONDS = 15.0
_STAMP = "k8s.io/component-base/version"
_MAJOR, _MINOR = programs.KUBERNETES.lstrip("v").split(".")[:2]
_LD_FLAGS = (
    "-s -w -linkmode external -extldflags -static"
    f" -X {_STAMP}.gitVersion={programs.KUBERNETES}"
    f" -X {_STAMP}.gitMajor={_MAJOR} -X {_STAMP}.gitMinor={_MINOR}"
)
_GO_BUILD = ("build", "-v", "-tags", "netgo osusergo", "-ldflags", _LD_FLAGS)


@dataclass(frozen=True, slots=True)
class Toolbox:
    """Where each program is, and the image archive that every node gets."""

    found: Mapping[str, Path]
    image: Path

    def path(self, program: GoProgram) -> Path:
        """The executable of a program."""
        return self.found[program.folder + "/" + program.name]


def toolbox(report: Report, *, tell_found: bool = False) -> Toolbox:
    """All programs, building what is missing; `report` gets the progress of the builds.

    With `tell_found` also a line for each program that is there, saying where it is from.
    """
    root = paths.cache() / "programs"
    programs.check_system(building=False)
    found, missing = _find(root)
    if tell_found:
        for name, path in found.items():
            report(f"{name}: {'cache' if path.is_relative_to(root) else path}")
    image = root / f"images-{_source_key()}" / "outgate-probe.tar"
    if missing or not image.exists():
        programs.check_system(building=True)
        root.mkdir(parents=True, exist_ok=True)
        with _lock(root):
            go = golang.toolchain(report)
            found, missing = _find(root)  # another build may have just ended
            for module in sorted({program.module for program in missing}):
                _build(go, root, [p for p in missing if p.module == module], report)
            if not image.exists():
                _build_image(go, image, report)
            found, _ = _find(root)
    return Toolbox(found, image)


def _find(root: Path) -> tuple[dict[str, Path], list[GoProgram]]:
    found: dict[str, Path] = {}
    missing: list[GoProgram] = []
    folders = programs.search_folders()
    for program in GO_PROGRAMS:
        cached = root / program.folder / program.name
        chosen = cached if cached.exists() else programs.installed(program, folders)
        if chosen is None:
            missing.append(program)
            continue
        found[program.folder + "/" + program.name] = chosen
    return found, missing


def _build(go: Path, root: Path, wanted: Sequence[GoProgram], report: Report) -> None:
    names = ", ".join(program.name for program in wanted)
    cold = " (12 minutes on 2 cores, if Go's own cache is empty)" if len(wanted) > 1 else ""
    report(f"building {names}{cold}")
    with tempfile.TemporaryDirectory(dir=root, prefix=".build-") as scratch:
        source = SOURCES / "gomods" / wanted[0].module
        output = Path(scratch) / "output"
        output.mkdir()
        _go(go, [*_GO_BUILD, "-o", f"{output}/", *(p.package for p in wanted)], source, report)
        for program in wanted:
            target = root / program.folder / program.name
            target.parent.mkdir(exist_ok=True)
            (output / program.built_name).rename(target)


def _build_image(go: Path, image: Path, report: Report) -> None:
    image.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=image.parent.parent, prefix=".build-") as scratch:
        binary = Path(scratch) / "probe"
        source = SOURCES / "probeapp"
        report("building the probe image")
        _go(go, [*_GO_BUILD, "-o", str(binary), "main.go"], source, report)
        images.write_image(
            image,
            [images.PAUSE_IMAGE, images.PROBE_IMAGE],
            {"/bin/probe": binary},
            entrypoint=["/bin/probe"],
        )


def _go(go: Path, arguments: Sequence[str], folder: Path, report: Report) -> None:
    """Run go, reporting how many packages it has compiled; LabError with its last words."""
    # GOTOOLCHAIN=local: the go that was found fits, and must not fetch another one
    environment = {**os.environ, "CGO_ENABLED": "1", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    began = reported = time.monotonic()
    compiled = 0
    tail: list[str] = []
    with subprocess.Popen(
        [str(go), *arguments],
        cwd=folder,
        env=environment,
        text=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            compiled += 1
            tail = [*tail[-15:], line.rstrip()]
            now = time.monotonic()
            if now - reported > PROGRESS_SECONDS:
                reported = now
                report(f"  {now - began:.0f} s: {compiled} packages, now {line.strip()}")
    if process.returncode != 0:
        raise LabError("go build failed:\n" + "\n".join(tail))
    report(f"  built in {time.monotonic() - began:.0f} s")


def _source_key() -> str:
    text = (SOURCES / "probeapp" / "main.go").read_bytes()
    return hashlib.sha256(text).hexdigest()[:12]


@contextlib.contextmanager
def _lock(root: Path) -> Iterator[None]:
    """One build at a time: a second one waits, and then finds everything in the cache."""
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
