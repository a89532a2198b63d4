"""A starting agent, as a process: decodes the node's objects from files and programs the node.

`python -m bench.start FOLDER`, in the node's namespace; prints what each part took, in seconds.
What is missing of a real start is the API server's time to list.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from unit.agent.cluster import keyed, snapshot

import outgate.agent.wiring
import outgate.kube.client  # noqa: F401  # what a start costs includes what it imports
from bench.node import Node
from outgate.api.core import Pod
from outgate.api.policy import EgressPolicy


def main(folder: Path) -> None:
    """Start, and say how it went."""
    took: dict[str, float] = {}
    with _timed(took, "decode"):
        pods = msgspec.json.decode((folder / "pods.json").read_bytes(), type=list[Pod])
        found = (folder / "policies.json").read_bytes()
        policies = msgspec.json.decode(found, type=list[EgressPolicy])
    node = Node()
    with _timed(took, "view"):
        view = node.view(snapshot(pods=keyed(*pods), policies=keyed(*policies)))
    with _timed(took, "program"):
        node.write(view)
    took["edge"] = node.nft.wall / 1e3
    took["program"] -= took["edge"]
    print(json.dumps(took))


@contextmanager
def _timed(took: dict[str, float], part: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    took[part] = time.perf_counter() - began


if __name__ == "__main__":
    main(Path(sys.argv[1]))
