"""Run by tox with the installed wheel: every module imports, every command answers."""

import importlib
import importlib.metadata
import pkgutil
import subprocess
import sys
from pathlib import Path

NOT_IMPORTED = ("__main__", "outgate.lab.nodeinit")  # they run when they are imported


def main() -> None:
    """Raise for the first module or command that fails."""
    import outgate

    names = [
        module.name
        for module in pkgutil.walk_packages(outgate.__path__, "outgate.")
        if not module.name.endswith(NOT_IMPORTED)
    ]
    for name in names:
        importlib.import_module(name)
    scripts = sorted(
        entry.name
        for entry in importlib.metadata.distribution("outgate").entry_points
        if entry.group == "console_scripts"
    )
    for script in scripts:
        subprocess.run(
            [Path(sys.executable).with_name(script), "--help"], check=True, capture_output=True
        )
    print(f"{len(names)} modules imported, {', '.join(scripts)} answered")


if __name__ == "__main__":
    main()
