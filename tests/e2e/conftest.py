"""One dual-stack lab for the whole session, with Outgate installed by its chart."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e import nodestate
from e2e.world import NODES, World, gateway, populate

from outgate.lab import Families, Lab, Options, product


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is below this folder needs a lab."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def bare_lab() -> Iterator[Lab]:
    """A lab without Outgate.

    OUTGATE_E2E_LAB names it; OUTGATE_E2E_KEEP=1 leaves it up for a look.
    """
    name = os.environ.get("OUTGATE_E2E_LAB", "e2e")
    lab = Lab.up(Options(name=name, families=Families.DUAL), report=print)
    yield lab
    if not os.environ.get("OUTGATE_E2E_KEEP"):
        lab.down()


@pytest.fixture(scope="session")
def before(bare_lab: Lab) -> dict[str, nodestate.State]:
    """What each node's kernel held before Outgate came."""
    populate(bare_lab)
    return {node: nodestate.read(bare_lab, node) for node in NODES}


@pytest.fixture(scope="session")
def world(bare_lab: Lab, before: dict[str, nodestate.State]) -> World:
    """The lab with Outgate installed and the gateway `default` ready."""
    product.install(bare_lab, product.load(bare_lab, print))
    made = World(bare_lab)
    default = gateway(bare_lab)
    made.apply(default)
    made.wait_condition(default)
    return made
