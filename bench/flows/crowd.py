"""The benchmark's side of the flows: which ones there are, their process, and what became of them.

Two pods use the same ports, as far as they go: those of the second are remapped at the gateway.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

from bench import ROOT
from bench.flows.continuity import Flow
from bench.flows.talk import Plan, Wanted
from outgate.daemon.closing import Closing

FLOWS = 200  # issue 5, Figures
SHARED = 20
"""Ports that both pods use, towards the same server: as many flows are remapped."""

PORT = 8091
FIRST = 20000
_READY_SECONDS = 60.0
_RUN = "from bench.flows.talk import main; main()"


def wanted(
    pods: Sequence[str], *, first: int = FIRST, flows: int = FLOWS, shared: int = SHARED
) -> tuple[Wanted, ...]:
    """Flows of two pods (their namespaces): every other one is pushed by the server.

    first: the lowest port. A later crowd needs other ones: its kernel remembers ended flows.
    """
    one, other = pods
    half = flows // 2
    return tuple(
        Wanted(namespace, first + start + number, pushed=number % 2 == 0)
        for namespace, start in ((one, 0), (other, half - shared))
        for number in range(half)
    )


class Crowd(Closing):
    """The flows, from when all of them stand until `end`."""

    def __init__(self, plan: Plan) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _RUN, plan.text()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            self.close()
            raise RuntimeError("the flows did not come to stand: see above")

    def end(self) -> tuple[Flow, ...]:
        """What became of each."""
        said, _ = self._process.communicate(timeout=_READY_SECONDS)
        return tuple(
            Flow(one["pushed"], one["remapped"], tuple(one["heard"]), one["broken"])
            for one in json.loads(said)
        )

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.communicate()
