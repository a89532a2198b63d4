"""The cluster that each test of the data path gets."""

from collections.abc import Iterator

import pytest
from kernel.cluster import Cluster, Wish
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
def cluster(topology: Topology) -> Iterator[Cluster]:
    made = Cluster(topology, DataPathSettings())
    made.program(Wish())
    with Outside(topology.outside):
        yield made
