"""The simulator finds what is wrong: each guard of the engine, taken away, is missed soon."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from sim import timing
from sim.node import Node
from sim.schedule import play

from outgate.api.view import IPAddress
from outgate.vip.engine import rights
from outgate.vip.engine.events import Record
from outgate.vip.engine.holds import Holds
from outgate.vip.engine.peers import Peer, Peers
from outgate.vip.engine.settings import Settings
from outgate.vip.engine.taking import Taking
from outgate.vip.engine.words import Ack, Say

SCHEDULES = 1500
"""Within so many, a broken engine must be found out."""


def first_wrong(schedules: int) -> str:
    """The first violation; "" if there is none."""
    for seed in range(schedules):
        if violation := play(seed).violation:
            return violation
    return ""


def test_a_sound_engine_passes() -> None:
    assert first_wrong(60) == ""


def test_a_schedule_is_the_same_each_time() -> None:
    assert play(7, tell=True) == play(7, tell=True)


def from_arrival(patch: pytest.MonkeyPatch) -> None:
    """Evidence counts from when the acknowledgement arrives."""
    acknowledged = Peers.acknowledged
    clock: dict[int, float] = {}
    happen = Node.happen

    def told(node: Node, event: object) -> None:
        if node.engine is not None:
            clock[id(node.engine.peers)] = node.clock()
        happen(node, event)  # type: ignore[arg-type]

    def late(self: Peers, ack: Ack) -> float:
        sent = acknowledged(self, ack)
        if sent > 0:
            sent = self.by_node[ack.node].granted = clock[id(self)]
        return sent

    patch.setattr(Node, "happen", told)
    patch.setattr(Peers, "acknowledged", late)


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


def no_promise(patch: pytest.MonkeyPatch) -> None:
    """Whom one has called silent is acknowledged again at once, and so by a new process."""
    patch.setattr("sim.schedule.settings", lambda mode: replace(timing.settings(mode), withhold=0))


def no_deposing(patch: pytest.MonkeyPatch) -> None:
    """Takes what a silent member has without its Lease."""
    patch.setattr(rights, "deposed", lambda *args, **kwargs: True)


def late_refresh(patch: pytest.MonkeyPatch) -> None:
    """The kernel's edge takes a refresh whenever it comes, and revives what had run out."""

    def always(self: Node, addresses: Iterable[IPAddress], until: float) -> bool:
        for address in addresses:
            if address in self.kernel:
                self.kernel[address].until = max(until, self.clock() + 0.2)
        return True

    patch.setattr(Node, "_refresh", always)


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


def unmet(patch: pytest.MonkeyPatch) -> None:
    """No consent of the others is asked for."""
    patch.setattr(Taking, "_consented", lambda self, address, want, now: True)


@pytest.mark.parametrize(
    "broken",
    [
        from_arrival,
        no_waiting,
        no_epochs,
        no_promise,
        no_deposing,
        late_refresh,
        no_probe,
        term_ignored,
        unmet,
    ],
)
def test_a_broken_engine_is_found_out(
    broken: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch)
    assert first_wrong(SCHEDULES)
