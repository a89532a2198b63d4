"""What the agent says of itself, and when."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import pytest

from outgate.agent import holding
from outgate.agent.address_news import NO_NEWS, News
from outgate.agent.probes.course import Verdict
from outgate.agent.reconcile import State
from outgate.agent.report import (
    BURST,
    PACE,
    PATIENCE,
    TROUBLES_PACE,
    Report,
    Reporter,
    report_of,
    status_of,
    too_soon,
    worth_saying,
)
from outgate.api.kinds import EGRESS_TUNNEL
from outgate.api.meta import ObjectMeta
from outgate.api.tunnel import (
    AddressMove,
    AddressTrouble,
    EgressTunnel,
    EgressTunnelSpec,
    Holding,
)
from outgate.kube.errors import ApiUnavailable
from outgate.kube.fake import FakeApi
from outgate.tunnel.underlay import Underlay
from outgate.vip.client import VipState
from outgate.vip.protocol import Claimed, Held, Move, Trouble
from outgate.vip.protocol import Report as Said

UNDERLAY = Underlay("eth0", IPv4Address("192.0.2.1"), None, 1500)
READY = State(programmed=True, waiting="", underlay=UNDERLAY)
NOON = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def test_ready_is_said_only_of_a_programmed_node() -> None:
    assert report_of(READY, None).phase == "Ready"
    assert report_of(State(waiting="the API: pods", underlay=UNDERLAY), None).phase == "Pending"
    failed = report_of(State(error="net.ipv4.ip_forward is 0", underlay=UNDERLAY), None)
    assert failed.phase == "Failed"
    assert "ip_forward" in failed.conditions[0][3]


def test_the_underlay_is_said_before_the_node_is_ready_since_peers_wait_for_it() -> None:
    report = report_of(State(waiting="its place", underlay=UNDERLAY), None)
    assert (report.underlay.interface, report.underlay.ipv4) == ("eth0", "192.0.2.1")


def test_addresses_that_are_not_held_are_a_condition() -> None:
    held = (Held("203.0.113.7", error="already on eth0"),)
    bad = report_of(READY, VipState(connected=True, settled=True, report=Said(1, held)))
    assert bad.conditions[1] == (
        "Announcing",
        False,
        "NotHeld",
        "203.0.113.7: already on eth0",
    )
    away = report_of(READY, VipState(connected=False, settled=False))
    assert away.conditions[1][2] == "VipAway"
    claims = (Claimed("node-a", "egw", 1, ("203.0.113.7",)),)
    fine = Said(1, (Held("203.0.113.7", "eth0"),), claims=claims)
    good = report_of(READY, VipState(connected=True, settled=True, report=fine))
    assert good.conditions[1][1:] == (True, "Held", "1 address held and announced")


def test_a_condition_that_stays_keeps_its_time() -> None:
    first = status_of(report_of(READY, None), (), now=NOON, agent="1")
    later = NOON + timedelta(minutes=5)
    second = status_of(report_of(READY, None), first.conditions, now=later, agent="1")
    assert second.conditions == first.conditions
    assert (first.last_heartbeat_time, second.last_heartbeat_time) == (
        "2026-01-01T12:00:00Z",
        "2026-01-01T12:05:00Z",
    )
    failed = report_of(State(error="no"), None)
    third = status_of(failed, second.conditions, now=later, agent="1")
    assert third.conditions[0].last_transition_time == "2026-01-01T12:05:00Z"


@pytest.mark.parametrize(
    ("state", "before", "silent"),
    [
        (State(waiting="the API: pods"), "Ready", True),
        (State(waiting="the API: pods"), "Pending", False),
        (State(error="busy", failures=1), "Ready", True),
        (State(error="busy", failures=PATIENCE), "Ready", False),
        (State(error="busy", failures=1), "Pending", False),
        (READY, "Ready", False),
    ],
)
def test_a_node_that_worked_is_not_given_up_for_a_restart_or_a_hiccup(
    state: State, before: str, silent: bool
) -> None:
    assert too_soon(state, before=before) is silent


def test_a_restarted_agent_says_nothing_until_it_knows() -> None:
    api = server()
    reporter(api, lambda: READY).say()
    beat = tunnel(api)
    states = [State()]
    restarted = reporter(api, lambda: states[-1])
    assert not restarted.say()
    assert tunnel(api) == beat
    states.append(READY)
    assert restarted.say()


def reporter(api: FakeApi, state: Callable[[], State], *, heartbeat: float = 60.0) -> Reporter:
    return Reporter(
        api,
        node="node-a",
        state=state,
        vip=lambda: None,
        tunnel=lambda: api.get(EGRESS_TUNNEL, "node-a"),
        heartbeat=heartbeat,
        clock=lambda: NOON,
    )


def tunnel(api: FakeApi) -> EgressTunnel:
    found = api.get(EGRESS_TUNNEL, "node-a")
    assert found is not None
    return found


def server() -> FakeApi:
    api = FakeApi()
    spec = EgressTunnelSpec(index=1, mac="02:00:00:00:00:01", ipv4="198.18.192.1")
    api.put(EGRESS_TUNNEL, EgressTunnel(metadata=ObjectMeta(name="node-a"), spec=spec))
    return api


def test_the_status_is_the_agents_and_the_spec_stays_the_controllers() -> None:
    api = server()
    before = tunnel(api).spec
    one = reporter(api, lambda: READY)
    assert not one.ready()
    one.say()
    assert one.ready()
    after = tunnel(api)
    assert after.spec == before
    assert (after.status.phase, after.status.underlay.mtu) == ("Ready", 1500)


def test_an_api_that_is_away_is_no_reason_to_be_unready_later() -> None:
    api = server()
    one = reporter(api, lambda: READY)
    one.say()
    api.fail("apply", ApiUnavailable("away"))
    one.say()
    assert one.ready()


def test_before_the_controller_has_made_the_object_nothing_breaks() -> None:
    one = reporter(FakeApi(), lambda: READY)
    one.say()
    assert not one.ready()


def test_a_change_is_reported_at_once_and_the_heartbeat_goes_on() -> None:
    api = server()
    states = [State(waiting="the API: pods", underlay=UNDERLAY)]
    one = reporter(api, lambda: states[-1], heartbeat=30.0)
    stop = threading.Event()
    thread = threading.Thread(target=one.run, args=(stop,), daemon=True)
    thread.start()
    _eventually(lambda: tunnel(api).status.last_heartbeat_time != "")
    states.append(READY)
    one.changed()
    _eventually(lambda: tunnel(api).status.phase == "Ready")
    stop.set()
    thread.join(5.0)
    assert not thread.is_alive()
    writes = len(api.writes)
    beating = reporter(api, lambda: READY, heartbeat=0.02)
    stop = threading.Event()
    thread = threading.Thread(target=beating.run, args=(stop,), daemon=True)
    thread.start()
    _eventually(lambda: len(api.writes) >= writes + 3)
    stop.set()
    thread.join(5.0)


def _eventually(true: Callable[[], bool], *, within: float = 5.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "not in time"
        threading.Event().wait(0.005)


@dataclass(frozen=True)
class Claim:
    gateway: str
    epoch: int
    addresses: tuple[IPv4Address, ...]


class Vip:
    """What the vip process says it holds, as time passes."""

    def __init__(self, api: FakeApi) -> None:
        self.now = 1000.0
        self.claims: tuple[Claim, ...] | None = None
        self.said: Said | None = None
        self.verdicts: dict[str, Verdict] = {}
        self.reporter = self.restarted(api)

    def restarted(self, api: FakeApi) -> Reporter:
        return Reporter(
            api,
            node="node-a",
            state=lambda: READY,
            vip=lambda: None,
            tunnel=lambda: api.get(EGRESS_TUNNEL, "node-a"),
            heartbeat=60.0,
            claims=lambda: self.claims,
            said=lambda: self.said,
            fitness=lambda: self.verdicts,
            monotonic=lambda: self.now,
        )


def test_what_is_held_and_what_may_be_is_reported() -> None:
    api = server()
    vip = Vip(api)
    vip.claims = (Claim("gw", 7, (IPv4Address("203.0.113.7"),)),)
    vip.verdicts = {"gw": Verdict(False, "UplinkDown", "the uplink eth0 is down")}
    assert vip.reporter.say()
    status = tunnel(api).status
    assert status.holding == (Holding(gateway="gw", epoch=7, addresses=("203.0.113.7",)),)
    assert [(one.gateway, one.fit, one.reason) for one in status.fitness] == [
        ("gw", False, "UplinkDown")
    ]


def test_while_the_vip_process_is_restarted_the_report_keeps_what_it_held() -> None:
    api = server()
    vip = Vip(api)
    vip.claims = (Claim("gw", 7, (IPv4Address("203.0.113.7"),)),)
    vip.reporter.say()
    held = tunnel(api).status.holding
    vip.claims = None
    for new in (False, True):
        reporter = vip.restarted(api) if new else vip.reporter
        reporter.say()
        assert tunnel(api).status.holding == held
        vip.now += holding.PATIENCE
        reporter.say()
        assert tunnel(api).status.holding == ()
        vip.claims = (Claim("gw", 7, (IPv4Address("203.0.113.7"),)),)
        reporter.say()
        assert tunnel(api).status.holding == held
        vip.claims = None


MOVE = AddressMove(gateway="gw", kind="Claimed", first_epoch=7, epoch=7, count=1)
TROUBLE = AddressTrouble(gateway="gw", reason="Conflict")
NOTHING, MOVED, TROUBLED = NO_NEWS, News((MOVE,)), News((), (TROUBLE,))


@pytest.mark.parametrize(
    ("said", "now", "when"),
    [
        (NOTHING, NOTHING, float("inf")),
        (NOTHING, TROUBLED, 100.0 + TROUBLES_PACE),
        (TROUBLED, NOTHING, 100.0 + TROUBLES_PACE),
        (NOTHING, MOVED, 101.0 + BURST * PACE),
        (NOTHING, News((MOVE,), (TROUBLE,)), 101.0 + BURST * PACE),
    ],
)
def test_troubles_that_change_all_the_time_are_not_written_all_the_time(
    said: News, now: News, when: float
) -> None:
    before, after = (report_of(READY, None, news=news) for news in (said, now))
    times = (101.0, 101.5, 102.0, 104.0)
    assert worth_saying(after, said=before, times=times, troubled=100.0) == when


@pytest.mark.parametrize("said", [None, report_of(READY, None, news=MOVED)])
def test_what_is_news_is_said_at_once_if_little_was_said_before(said: Report | None) -> None:
    never, times = float("-inf"), (103.0, 103.5, 104.0)
    assert worth_saying(report_of(READY, None), said=said, times=times, troubled=103.0) == never


def test_moves_and_troubles_are_reported_and_stay_over_a_restart_of_the_agent() -> None:
    api = server()
    vip = Vip(api)
    vip.said = Said(
        1,
        moves=(Move("gw", True, 0.0, 7, 7, 1, "node-b", "crash", 0.4),),
        troubles=(Trouble("gw", "Conflict", ("203.0.113.7",), 1, "02:00:5e:00:53:01"),),
    )
    assert vip.reporter.say()
    status = tunnel(api).status
    assert [(one.node, one.why, one.took_milliseconds) for one in status.moves] == [
        ("node-b", "crash", 400)
    ]
    assert [(one.reason, one.message) for one in status.troubles] == [
        ("Conflict", "02:00:5e:00:53:01")
    ]
    vip.said = None
    assert vip.restarted(api).say()
    assert (tunnel(api).status.moves, tunnel(api).status.troubles) == (
        status.moves,
        status.troubles,
    )


def test_a_claim_is_reported_at_once() -> None:
    api = server()
    vip = Vip(api)
    vip.claims = ()
    stop = threading.Event()
    thread = threading.Thread(target=vip.reporter.run, args=(stop,), daemon=True)
    thread.start()
    _eventually(lambda: tunnel(api).status.phase == "Ready")
    vip.claims = (Claim("gw", 7, (IPv4Address("203.0.113.7"),)),)
    vip.reporter.changed()
    _eventually(lambda: tunnel(api).status.holding != ())
    stop.set()
    thread.join(5.0)
    assert not thread.is_alive()
