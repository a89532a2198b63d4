"""An agent that is killed again and again, under traffic: nothing is lost, nothing leaks."""

import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from kernel.agent.test_agent import EIP, UDP, World, begins, eventually, put_holder
from kernel.agent.test_drift import state
from kernel.harness import Namespace, Topology
from kernel.traffic import Flow, Outside, seen_as

from outgate.api.view import IPAddress
from outgate.rules.diff import diff
from outgate.rules.kernel import NftKernel
from outgate.rules.model import Chain, Ruleset, Set, SetType

pytestmark = pytest.mark.kernel

SCRIPT = Path(__file__).with_name("killed_agent.py")
TESTS = Path(__file__).parents[2]
KILLS = 10
LONGEST = 0.15
"""Seconds after which an apply is over, whatever was killed in it."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    topology = Topology()
    made = World(topology, tmp_path)
    try:
        made.policy()
        put_holder(made.api, "first", known="first")
        made.start()
        made.settle()
        with Outside(topology.outside):
            yield made
    finally:
        made.delete()


@dataclass
class Traffic:
    """One UDP flow of a pod that goes on, and new ones beside it; what the outside saw."""

    pod: Namespace
    version: int
    seen: Counter[IPAddress | str] = field(default_factory=Counter)

    def run(self, stop: threading.Event) -> None:
        with Flow(self.pod, version=self.version, kind=UDP, patience=2.0) as flow:
            while not stop.wait(0.005):
                try:
                    self.seen[flow.seen_as()] += 1
                    if sum(self.seen.values()) % 10 == 0:
                        self.seen[seen_as(self.pod, version=self.version, kind=UDP)] += 1
                except OSError as error:
                    self.seen[f"lost: {error}"] += 1


@contextmanager
def traffic_of(pods: Mapping[str, Namespace]) -> Iterator[list[Traffic]]:
    """Of two nodes' pods and both families, until it ends."""
    flows = [Traffic(pods[pod], version) for pod in ("worker", "first") for version in (4, 6)]
    stop = threading.Event()
    with ExitStack() as stack:
        for traffic in flows:
            thread = threading.Thread(target=traffic.run, args=(stop,))
            thread.start()
            stack.callback(thread.join)
        stack.callback(stop.set)
        yield flows


def start(node: Namespace, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["nsenter", f"--net={node.path}", "--", sys.executable, str(SCRIPT), node.role, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == word:
            return
    raise AssertionError(f"ended before it said {word!r}")


@pytest.mark.parametrize("name", ["worker", "first"])
def test_killed_at_any_point_under_traffic_nothing_is_lost_or_leaks(
    world: World, name: str
) -> None:
    node, pods = world.topology.nodes[name], world.topology.pods
    for version in (4, 6):
        for pod in ("worker", "first"):
            eventually(begins(pods[pod], version, EIP[version]))
    before = state(node)
    world.agents[name].halt()
    with traffic_of(pods) as flows:
        for kill in range(KILLS):
            process = start(node, world.agents[name].vip.socket)
            with process:
                # Half of them in the first pass, which replaces all; half in small changes.
                wait_for(process, "starting" if kill % 2 else "applying")
                threading.Event().wait(LONGEST * kill / KILLS)
                process.kill()
        world.agents[name].start()
        eventually(world.agents[name].ready)
        eventually(lambda: state(node) == before)
    for traffic in flows:
        assert traffic.seen.keys() == {EIP[traffic.version]}, traffic
        assert traffic.seen.total() > 100


def other_layout(ruleset: Ruleset) -> Ruleset:
    """The same rules as another version might have them: other hooks, types, sets and chains.

    What is declared otherwise is named otherwise, as `outgate.rules.diff` asks for.
    """
    inet = ruleset.tables["inet"]
    names = {name: f"other_{name}" for name, set_ in inet.sets.items() if set_.type.size}
    pattern = re.compile(rf"@({'|'.join(names)})\b")
    sets = {
        names.get(name, name): replace(set_, type=replace(set_.type, size=set_.type.size * 2))
        for name, set_ in inet.sets.items()
    }
    chains: dict[str, Chain] = {}
    for name, chain in inet.chains.items():
        rules = tuple(pattern.sub(r"@other_\1", rule) for rule in chain.rules)
        if chain.hook:
            hook = replace(chain.hook, priority=chain.hook.priority - 1)
            chains[f"other_{name}"] = Chain(rules, hook)
        else:
            chains[name] = Chain(rules)
    gone = Set(SetType(("mark", "ipv4_addr"), "verdict"), {(7, 7): "goto gone"})
    other = replace(
        inet,
        sets={**sets, "gone": gone},
        chains={**chains, "gone": Chain(("ct mark . ip saddr vmap @gone",))},
        counters=inet.counters | {"gone"},
    )
    return Ruleset({**ruleset.tables, "inet": other})


@pytest.mark.parametrize("name", ["worker", "first"])
def test_up_and_down_between_versions_with_other_tables_nothing_is_lost_or_leaks(
    world: World, name: str
) -> None:
    node, pods, agent = world.topology.nodes[name], world.topology.pods, world.agents[name]
    for version in (4, 6):
        for pod in ("worker", "first"):
            eventually(begins(pods[pod], version, EIP[version]))
    before = state(node)
    nft = NftKernel(netns=node.path)
    with traffic_of(pods) as flows:
        for _ in range(4):
            agent.halt()
            nft.apply(diff(nft.observe(), other_layout(agent.ruleset())))
            agent.start()
            eventually(agent.ready)
            eventually(lambda: state(node) == before)
    for traffic in flows:
        assert traffic.seen.keys() == {EIP[traffic.version]}, traffic
        assert traffic.seen.total() > 50
