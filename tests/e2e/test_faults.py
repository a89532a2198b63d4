"""Rows V1-V5, V8, V9: real faults of the node that holds an address, seen by a 10 ms probe outside.

For each: the address is served again, by one MAC at a time, and nothing leaves with another source.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from e2e.world import NAMESPACE, World, selected

from bench.failover.outgate import AGENT, PROGRAM, Outgate
from bench.failover.rounds import Outcome, Pace, Rounds, outcome
from bench.failover.settings import Case
from bench.failover.sight import Sight, watched
from bench.failover.watch import Span
from outgate.lab import passing, processes
from outgate.lab.passing import Fault, Kind
from outgate.lab.topology import CONTROL_PLANE

CLIENT = "client-w1"
GATEWAY_NODES = ("gw1", "gw2")
CONTROLLER = "outgate-controller"
ROUNDS = 3
PACE = Pace(watched=1.5, patience=30.0, after=1.5)
HEARTBEAT = 0.3
"""Seconds that two may answer after a segment in two has healed: one heartbeat (0.1 s) or two; more
only if a vip process had to wait for a CPU."""

LEASE = 0.25
"""Seconds that vip processes may wait for a CPU, in all of a round, and still hold addresses: by
default, their kernels let go after that. No fault of what the round is about."""

PARTED = (Kind.CUT_OFF, Kind.UNPLUGGED, Kind.DEAF, Kind.MUTE)
"""Faults in which the holder knows of nobody, and with `partition: Availability` holds on."""

MOVING = (
    # First those that end a vip process: the rest is counted, and a process counts from 0.
    Case(Kind.KILLED, program=PROGRAM),
    Case(Kind.KILLED, (Kind.API_STOPPED,), PROGRAM),
    Case(Kind.STOPPED, program=PROGRAM),
    *(Case(kind) for kind in PARTED),
    Case(Kind.CUT_OFF, (Kind.API_STOPPED,)),
)
STAYING = (
    Case(Kind.CUT_FROM_API),
    Case(Kind.CUT_FROM_PEERS),
    Case(Kind.API_STOPPED),
    Case(Kind.API_HUNG),
    *(Case(k, program=p) for p in (AGENT, CONTROLLER) for k in (Kind.KILLED, Kind.STOPPED)),
)


@dataclass(frozen=True)
class Seen:
    """An address in use, its observer, and what strikes its holder."""

    world: World
    one: Outgate
    sight: Sight
    rounds: Rounds

    def holder(self) -> str:
        """The one node that answers for it, steadily."""
        return self.world.lab.wait(
            "one node to answer for the address", lambda: self.sight.holder(self.one)
        )

    def waited(self) -> float:
        """Seconds that vip processes have waited for a CPU so far, together."""
        paths = self.world.lab.paths
        pids = [pid for node in GATEWAY_NODES for pid in processes.running(paths, node, PROGRAM)]
        # proc(5): time on a CPU, time waiting for one (ns), how often it got one
        waits = (Path(f"/proc/{pid}/schedstat").read_text().split()[1] for pid in pids)
        return sum(map(int, waits)) / 1e9

    def epoch(self) -> float:
        """The highest one of a claim that a node knows."""
        told = (self.world.metrics(node) for node in GATEWAY_NODES)
        return max(one.get(("outgate_vip_epoch", "default"), 0.0) for one in told)

    def strike(self, case: Case) -> Outcome:
        """What came of it. What holds of every fault is asserted."""
        waited = self.waited()
        told = self.rounds.round(case)[self.one.name]
        print(case.name, told)
        assert told.served
        assert told.probes > 0
        assert told.wrong == 0
        assert told.answered.most == 1
        if case.kind in PARTED:
            assert told.healed.seconds <= HEARTBEAT + self.waited() - waited
        else:
            assert told.healed.most == 1
        return told


@pytest.fixture(scope="module")
def seen(world: World) -> Iterator[Seen]:
    policy = world.policy("struck", {"appliedTo": selected(pod=CLIENT)})
    with world.having(policy) as (made,):
        address = IPv4Address(made["status"]["eip"]["ipv4"])
        world.wait_source(CLIENT, str(address))
        one = Outgate(world.lab, address, pods=(CLIENT,), namespace=NAMESPACE)
        with watched(world.lab, [one]) as sight:
            yield Seen(world, one, sight, Rounds(world.lab, [one], sight, pace=PACE))


@pytest.mark.parametrize("case", MOVING, ids=lambda case: case.name)
def test_another_node_serves_what_a_struck_one_had(seen: Seen, case: Case) -> None:
    for _ in range(ROUNDS):
        assert seen.strike(case).moves >= 1


@pytest.mark.parametrize("case", STAYING, ids=lambda case: case.name)
def test_nothing_moves_for_what_is_no_reason_to(seen: Seen, case: Case) -> None:
    still = moved = 0
    while still < ROUNDS:
        before, waited = seen.holder(), seen.waited()
        moves, after = seen.strike(case).moves, seen.holder()
        if (moves, after) == (0, before):
            still += 1
            continue
        # What is no reason would move it each time; an API server that starts, say, takes all CPUs
        # and locks of a small machine for a moment.
        moved += 1
        assert moved <= (ROUNDS if seen.waited() - waited >= LEASE else 1)


def test_no_node_was_asked_for_an_address_that_it_had_taken(seen: Seen) -> None:
    # Who is starved by a busy machine loses its addresses, too; but nobody takes them back.
    told = [seen.world.metrics(node) for node in GATEWAY_NODES]
    claimed = "outgate_vip_claimed_addresses_total"
    assert sum(one[claimed, "default", "crash"] for one in told) > 0
    assert [one[claimed, "default", "planned"] for one in told] == [0, 0]


BACK = (
    (Case(Kind.CUT_OFF),),
    (Case(Kind.KILLED, program=PROGRAM),),
    (Case(Kind.API_STOPPED), Case(Kind.CUT_OFF)),
)


@pytest.mark.parametrize("cases", BACK, ids=lambda cases: "+".join(case.name for case in cases))
def test_when_all_are_struck_and_all_are_back_one_of_them_serves(
    seen: Seen, cases: tuple[Case, ...]
) -> None:
    seen.holder()
    before, start = seen.epoch(), time.monotonic()
    with ExitStack() as all_at_once:
        for case in cases:
            hosts = (CONTROL_PLANE,) if case.kind is Kind.API_STOPPED else GATEWAY_NODES
            for host in hosts:
                fault = Fault(case.kind, host, case.program)
                all_at_once.enter_context(passing.happening(seen.world.lab, fault))
        seen.world.lab.wait("an address to be claimed anew", lambda: seen.epoch() > before)
        healed = time.monotonic()
    seen.holder()
    seen.world.lab.wait("it to be served", lambda: seen.sight.serves(seen.one))
    told = outcome(
        seen.sight.tracks(seen.one),
        Span(start, healed),
        Span(healed, time.monotonic()),
        address=int(seen.one.address),
    )
    print(told)
    assert told.wrong == 0
    assert told.answered.most <= 1
    assert told.healed.seconds <= HEARTBEAT
