"""The simulator finds what is wrong: each guard of the engine, taken away, is missed soon."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sim import timing
from sim.checker import Violated
from sim.cluster import ADDRESSES, GATEWAY, Cluster
from sim.node import Node
from sim.schedule import play
from sim.world import World

from outgate.api.view import IPAddress
from outgate.vip.engine import rights
from outgate.vip.engine.events import Event, Record
from outgate.vip.engine.holds import Holds
from outgate.vip.engine.peers import NEVER, Peer, Peers
from outgate.vip.engine.settings import Partition, Settings
from outgate.vip.engine.taking import Taking
from outgate.vip.engine.words import Say

SCHEDULES = 1000
"""Within so many, a broken engine must be found out."""


def test_a_sound_engine_passes() -> None:
    assert [play(seed).violation for seed in range(60)] == [""] * 60


def test_a_schedule_is_the_same_each_time() -> None:
    assert play(7, tell=True) == play(7, tell=True)


def from_arrival(patch: pytest.MonkeyPatch) -> None:
    """Evidence counts from when the acknowledgement arrives."""
    clock: dict[int, float] = {}
    happen, sent_at = Node.happen, Peers._sent_at

    def told(node: Node, event: Event) -> None:
        if node.engine is not None:
            clock[id(node.engine.peers)] = node.clock()
        happen(node, event)

    def arrived(self: Peers, counter: int) -> float:
        return clock[id(self)] if sent_at(self, counter) > 0 else NEVER

    patch.setattr(Node, "happen", told)
    patch.setattr(Peers, "_sent_at", arrived)


def late_acknowledgements() -> None:
    """Acknowledgements come long after; then their receiver is heard no more, the API server is
    seen by one only, and probes find nobody."""
    world = World(3)
    made = Cluster(world, nodes=2, settings=timing.settings(Partition.CONSISTENCY))
    world.net.isolated = True
    made.start()
    made.checker.watch()
    world.run(2.0)
    (holder,) = made.holders(ADDRESSES[0])
    (other,) = set(made.nodes) - {holder}
    world.net.lag = {(other, holder): 0.8}
    world.run(5.0)
    world.net.underlay_cut = {(holder, other)}
    made.api.away = {holder}
    world.run(9.0)


def test_late_acknowledgements_are_no_evidence() -> None:
    late_acknowledgements()


def test_counted_from_their_arrival_two_nodes_would_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from_arrival(monkeypatch)
    with pytest.raises(Violated):
        late_acknowledgements()


def no_waiting(patch: pytest.MonkeyPatch) -> None:
    """Takes over without waiting for the silent one's kernel."""

    def none(peer: Peer, silent: object, *, gateway: str, settings: Settings) -> float:
        return -settings.silence

    patch.setattr(rights, "_lease", none)


def no_epochs(patch: pytest.MonkeyPatch) -> None:
    """Nobody yields to a higher epoch."""

    def none(self: Holds, say: Say, node: str) -> frozenset[IPAddress]:
        return frozenset()

    patch.setattr(Holds, "superseded", none)


def no_deposing(patch: pytest.MonkeyPatch) -> None:
    """Takes what a silent member has without its Lease."""
    patch.setattr(rights, "deposed", lambda *args, **kwargs: True)


def no_probe(patch: pytest.MonkeyPatch) -> None:
    """The failsafe takes without asking the segment."""
    probed = Taking.probed

    def deaf(self: Taking, number: int, answered: object, *, now: float) -> object:
        return probed(self, number, {}, now=now)

    patch.setattr(Taking, "probed", deaf)


def term_ignored(patch: pytest.MonkeyPatch) -> None:
    """Deposes a member whose Lease is relied on."""

    def may(record: Record, **kwargs: object) -> bool:
        return record.inside

    patch.setattr(rights, "may_depose", may)


def disagreeing_agents(seed: int) -> Cluster:
    """Each node's agent says that its node alone is eligible; probes find nobody."""
    world = World(seed)
    made = Cluster(world, nodes=3, settings=timing.settings(Partition.CONSISTENCY))
    world.net.isolated = True
    world.net.delay = (0.03, 0.06)
    for name, node in made.nodes.items():
        node.memberships = {GATEWAY: replace(made.membership, eligible=frozenset({name}))}
    made.start(within=0.01)
    made.checker.watch()
    world.run(4.0)
    return made


@pytest.mark.parametrize("seed", range(10))
def test_two_that_want_the_same_address_agree(seed: int) -> None:
    assert all(len(names) == 1 for names in disagreeing_agents(seed).held().values())


def test_without_consent_two_nodes_would_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Taking, "_consenting", lambda self, now: dict(self.wants))
    with pytest.raises(Violated):
        for seed in range(10):
            disagreeing_agents(seed)


@pytest.mark.parametrize(
    ("broken", "mode"),
    [
        (no_waiting, Partition.CONSISTENCY),
        (no_deposing, Partition.CONSISTENCY),
        (term_ignored, Partition.CONSISTENCY),
        (no_epochs, Partition.AVAILABILITY),
        (no_probe, Partition.AVAILABILITY),
    ],
)
def test_a_broken_engine_is_found_out(
    broken: Callable[[pytest.MonkeyPatch], None],
    mode: Partition,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken(monkeypatch)
    assert any(play(seed, mode=mode).violation for seed in range(SCHEDULES))
