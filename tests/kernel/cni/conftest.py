"""The cluster of these tests: wired, answered by the outside, not programmed yet."""

from collections.abc import Iterator

import pytest
from kernel.cni.beside import Beside
from kernel.harness import Topology
from kernel.traffic import Outside

from outgate.api.view import DataPathSettings


@pytest.fixture
def topology() -> Iterator[Topology]:
    made = Topology()
    try:
        yield made
    finally:
        made.delete()


@pytest.fixture
def beside(topology: Topology) -> Iterator[Beside]:
    with Outside(topology.outside):
        yield Beside(topology, DataPathSettings())
