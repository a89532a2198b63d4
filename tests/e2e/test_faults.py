"""Rows V1-V5, V8, V9: real faults of the node that holds addresses, seen by 10 ms probes outside.

For each, in both families: the address is served again, by one MAC at a time, and nothing leaves
with another source.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from subprocess import Popen

import pytest
from e2e.world import NAMESPACE, World, selected

from bench.failover.outgate import ADDRESS, AGENT, PROGRAM, Outgate, beside
from bench.failover.rounds import Outcome, Pace, Rounds, outcome
from bench.failover.settings import Case
from bench.failover.sight import ECHO, Sight, watched
from bench.failover.watch import Span
from outgate.lab import Lab, passing
from outgate.lab.passing import Fault, Kind

CLIENT = "client-w1"
GATEWAY_NODES = ("gw1", "gw2")
CONTROLLER = "outgate-controller"
ROUNDS = 3
PACE = Pace(watched=1.5, patience=30.0, after=1.5)
LONGER = Pace(watched=4.0, patience=30.0, after=1.5)
"""So long that those that know of nobody may have taken the address for themselves."""

AWAY = 120.0
"""Seconds without an API server: whatever has a term is over (Leases, the agents' heartbeats)."""

TAKEN = 10.0
"""Seconds for which the nodes' CPUs are taken."""

SETTLED = 20.0
"""Seconds after which all have met the API server again; an agent is silent after 15."""

TOGETHER = 1.0
"""Seconds that two may answer after a segment in two has healed, on whatever machine: where no
heartbeat comes, four answers of the segment end it. In peace, it is one heartbeat (0.1 s), which
`make bench NAME=failover` shows."""

HEALED = 2.0
"""Seconds without service after a fault, at most and on whatever machine. What hosts have believed
of the wrong node is put right at once (0.02 s); by itself, Linux goes by it for a second."""

ANEW = 5.0
"""Seconds without service, at most, where all had been off: two that hold may ask the segment twice
before they hear each other. Then both let go, and the address is taken anew."""

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
BACK = (
    Case(Kind.CUT_OFF, all_at_once=True),
    Case(Kind.KILLED, program=PROGRAM, all_at_once=True),
    Case(Kind.CUT_OFF, (Kind.API_STOPPED,), all_at_once=True),
)


@dataclass(frozen=True)
class Seen:
    """Addresses in use, one of each family, their observer, and what strikes their holder."""

    world: World
    one: Outgate
    sight: Sight
    rounds: Rounds

    def holder(self) -> str:
        """The one node that answers for both, steadily."""
        return self.world.lab.wait(
            "one node to answer for the addresses", lambda: self.sight.holder(self.one)
        )

    def epoch(self) -> float:
        """The highest one of a claim that a node knows."""
        told = (self.world.metrics(node) for node in GATEWAY_NODES)
        return max(one.get(("outgate_vip_epoch", "default"), 0.0) for one in told)

    def lapses(self) -> float:
        """How many addresses have lapsed so far: without a fault, a busy machine does that."""
        return self.world.lapsed("default")

    def strike(self, case: Case) -> Sequence[Outcome]:
        """What came of it, in each family. What holds of every fault is asserted."""
        outcomes = self.rounds.round(case)
        assert len(outcomes) == 2
        for name, told in outcomes.items():
            print(case.name, name, told)
            assert told.served
            assert told.probes > 0
            assert told.wrong == 0
            assert told.answered.most == 1
            assert told.afterwards <= HEALED
            if case.kind in PARTED:
                assert told.healed.seconds <= TOGETHER
            else:
                assert told.healed.most == 1
        return tuple(outcomes.values())

    def meanwhile(self, seconds: float) -> Sequence[Outcome]:
        """What is seen of the addresses in that time, in each family."""
        start = time.monotonic()
        end = start + seconds
        self.world.lab.wait("it to be over", lambda: time.monotonic() > end, timeout=seconds + 5)
        return self.during(Span(start, end))

    def during(self, span: Span) -> Sequence[Outcome]:
        """The same of a time that is over."""
        tracks = self.sight.tracks(self.one).items()
        return tuple(outcome(told, span, span, address=int(address)) for address, told in tracks)


def take_cpus(lab: Lab, seconds: float) -> None:
    """On each node, programs that never wait want all the CPUs that the machine has, for so long.

    Nothing else is done meanwhile: they leave little to the test.
    """
    spin = f"import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"
    with ExitStack() as stack:
        for node in lab.topology.nodes:
            joins = lab.paths.cgroup("cpu", node.name) / "cgroup.procs"
            for _ in range(os.cpu_count() or 1):
                program = stack.enter_context(Popen([sys.executable, "-c", spin]))
                joins.write_text(str(program.pid))


@pytest.fixture(scope="module")
def seen(world: World) -> Iterator[Seen]:
    addresses = (ADDRESS, beside(ADDRESS, gateway="default", nodes=GATEWAY_NODES))
    wanted = {f"ipv{address.version}": str(address) for address in addresses}
    spec = {"appliedTo": selected(pod=CLIENT), "egressIP": wanted}
    with world.having(world.policy("struck", spec)):
        for address in addresses:
            world.wait_source(CLIENT, str(address), address.version)
        one = Outgate(world.lab, *addresses, pods=(CLIENT,), namespace=NAMESPACE)
        with watched(world.lab, [one]) as sight:
            yield Seen(world, one, sight, Rounds(world.lab, [one], sight, pace=PACE))


@pytest.mark.parametrize("case", MOVING, ids=lambda case: case.name)
def test_another_node_serves_what_a_struck_one_had(seen: Seen, case: Case) -> None:
    with seen.rounds.amid(case):
        for _ in range(ROUNDS):
            assert all(told.moves >= 1 for told in seen.strike(case))


@pytest.mark.parametrize("case", STAYING, ids=lambda case: case.name)
def test_nothing_moves_for_what_is_no_reason_to(seen: Seen, case: Case) -> None:
    still = moved = 0
    while still < ROUNDS:
        before = seen.holder()
        moves, after = sum(told.moves for told in seen.strike(case)), seen.holder()
        if (moves, after) == (0, before):
            still += 1
            continue
        # What is a reason moves it each time; an API server that starts takes all CPUs of a small
        # machine for a moment.
        moved += 1
        assert moved <= ROUNDS


def test_no_node_was_asked_for_an_address_that_it_had_taken(seen: Seen) -> None:
    # Who is starved by a busy machine loses its addresses, too; but nobody takes them back.
    told = [seen.world.metrics(node) for node in GATEWAY_NODES]
    claimed = "outgate_vip_claimed_addresses_total"
    assert sum(one[claimed, "default", "crash"] for one in told) > 0
    assert [one[claimed, "default", "planned"] for one in told] == [0, 0]


def test_on_nodes_whose_cpus_are_taken_vip_gets_one_at_once(seen: Seen) -> None:
    seen.holder()
    threads = seen.world.threads(PROGRAM)
    assert {os.sched_getscheduler(one) for one in threads} == {os.SCHED_RR}
    start, waited = time.monotonic(), seen.world.waited()
    take_cpus(seen.world.lab, TAKEN)
    # Together: 0.7 to 1.7 s, for each other and for the probes; 5.4 s as ordinary processes.
    print("waited for a CPU", seen.world.waited() - waited)
    told = seen.during(Span(start, time.monotonic() - ECHO))
    # A kernel's lock may be held by who gets no CPU, of any node here: then an address lapses.
    assert all(one.served and one.wrong == 0 and one.answered.most == 1 for one in told)


@pytest.mark.parametrize("case", BACK, ids=lambda case: case.name)
def test_when_all_are_struck_and_all_are_back_one_of_them_serves(seen: Seen, case: Case) -> None:
    rounds = Rounds(seen.world.lab, [seen.one], seen.sight, pace=LONGER)
    for _ in range(ROUNDS):
        before = seen.epoch()
        outcomes = rounds.round(case)
        for name, told in outcomes.items():
            print(case.name, name, told)
            assert told.wrong == 0
            assert told.answered.most <= 1
            assert told.healed.seconds <= TOGETHER
            if case.kind is Kind.CUT_OFF:
                assert told.afterwards <= ANEW
        # Of nodes that are cut off, the holder holds on, and the other may not take it, or may.
        assert case.kind is Kind.CUT_OFF or seen.epoch() > before


def test_an_api_server_that_is_away_for_minutes_moves_nothing_and_a_dead_node_is_replaced(
    seen: Seen,
) -> None:
    before, lapses = seen.holder(), seen.lapses()
    with passing.happening(seen.world.lab, Fault(Kind.API_STOPPED)):
        away = seen.meanwhile(AWAY)
        stays = seen.holder()
        lapsed = seen.lapses() != lapses
        for _ in range(ROUNDS):
            assert all(told.moves >= 1 for told in seen.strike(Case(Kind.CUT_OFF)))
        holder, lapses = seen.holder(), seen.lapses()
    back = seen.meanwhile(SETTLED)
    lapsed |= seen.lapses() != lapses
    print(away, back)
    assert lapsed or [told.moves for told in (*away, *back)] == [0, 0, 0, 0]
    assert lapsed or (stays, seen.holder()) == (before, holder)
    assert all(told.wrong == 0 and told.answered.most == 1 for told in (*away, *back))
