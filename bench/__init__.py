"""Benchmarks: what Outgate costs, measured on this machine, in network namespaces of their own.

Run from a checkout only (`python -m bench`): they stand on the kernel tests' harness, which is why
`tests` is put on the path here, and nowhere else.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

if str(ROOT / "tests") not in sys.path:
    sys.path.append(str(ROOT / "tests"))
