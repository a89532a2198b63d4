"""What the agent says of itself in its EgressTunnel's status: at once when it changes, and now and
then so that the controller knows it is alive.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal

import structlog

from outgate.agent.address_news import NO_NEWS, News, news_of
from outgate.agent.holding import Claim, Silence, fitness_of, holding_of
from outgate.agent.probes.course import Verdict
from outgate.agent.reconcile import State
from outgate.agent.wake import Wakeup
from outgate.api.kinds import EGRESS_TUNNEL
from outgate.api.meta import Condition
from outgate.api.tunnel import (
    NO_UNDERLAY,
    EgressTunnel,
    EgressTunnelStatus,
    Fitness,
    Holding,
    Underlay,
)
from outgate.kube.api import Api
from outgate.kube.errors import ApiError
from outgate.vip.client import VipState
from outgate.vip.protocol import Report as Said

log = structlog.get_logger("outgate.agent")

MANAGER = "outgate-agent"
"""Field manager of our applies."""

MESSAGE_MAX = 1024
"""Characters of a condition's message: what is longer is for the log."""


RETRY = 2.0
"""Seconds until a report that did not arrive is sent again."""


TROUBLES_PACE = 5.0
"""Least seconds between two reports for troubles alone: each costs a write here, and one of the
controller's."""

BURST = 4
"""Reports that may follow each other at once: a move or two, and what is heard of them."""

PACE = 1.0
"""Seconds for each of those that follow: a thousand addresses come and go in many claims, and each
report of them costs the API server, the controller and all other agents as much as the last."""

PATIENCE = 3
"""Passes that fail in a row before a node that worked is reported as failed (about 2 s)."""

Phase = Literal["Pending", "Ready", "Failed"]


@dataclass(frozen=True, slots=True)
class Report:
    """All that is reported, but for the time."""

    phase: Phase
    underlay: Underlay
    conditions: tuple[tuple[str, bool, str, str], ...]  # type, status, reason, message
    holding: tuple[Holding, ...] = ()
    fitness: tuple[Fitness, ...] = ()
    news: News = NO_NEWS


def report_of(
    state: State,
    vip: VipState | None,
    *,
    holding: tuple[Holding, ...] = (),
    fitness: tuple[Fitness, ...] = (),
    news: News = NO_NEWS,
) -> Report:
    """What there is to say about the data path, and about the addresses if any are to be held."""
    conditions = [("Programmed", *_programmed(state))]
    if vip is not None:
        conditions.append(("Announcing", *_announcing(vip)))
    return Report(_phase(state), _underlay(state), tuple(conditions), holding, fitness, news)


def too_soon(state: State, *, before: str) -> bool:
    """Whether to say nothing yet, since a node that worked (`before`: its phase) may still work.

    A restarted agent finds the kernel as the former one left it: "Pending" would take the node's
    addresses away for nothing. So would "Failed" for what the next try may mend.
    """
    if state.programmed or before != "Ready":
        return False
    return not state.error or 0 < state.failures < PATIENCE


def worth_saying(
    report: Report, *, said: Report | None, times: Sequence[float], troubled: float
) -> float:
    """When to say this, in monotonic seconds: what is news at once, unless much was just said;
    never the same as before.

    said: what was said last. times: when the last `BURST` reports were. troubled: when troubles
    were last said: what differs in them alone waits for `TROUBLES_PACE`.
    """
    if report == said:
        return float("inf")
    if said is not None:
        news = replace(said.news, troubles=report.news.troubles)
        if report == replace(said, news=news):
            return troubled + TROUBLES_PACE
    return times[-BURST] + BURST * PACE if len(times) >= BURST else float("-inf")


def status_of(
    report: Report, before: tuple[Condition, ...], *, now: datetime, agent: str
) -> EgressTunnelStatus:
    """The status to apply; a condition that stays as it was keeps the time of its last change."""
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    known = {condition.type: condition for condition in before}
    conditions: list[Condition] = []
    for type_, holds, reason, message in report.conditions:
        word: Literal["True", "False"] = "True" if holds else "False"
        old = known.get(type_)
        since = old.last_transition_time if old is not None and old.status == word else ""
        conditions.append(
            Condition(
                type=type_,
                status=word,
                reason=reason,
                message=message,
                last_transition_time=since or stamp,
            )
        )
    return EgressTunnelStatus(
        phase=report.phase,
        underlay=report.underlay,
        last_heartbeat_time=stamp,
        agent_version=agent,
        holding=report.holding,
        fitness=report.fitness,
        moves=report.news.moves,
        troubles=report.news.troubles,
        conditions=tuple(conditions),
    )


class Reporter:
    """Writes the status: a Task.

    state, vip: what to say, asked when it is said. tunnel: the object as it was last seen.
    claims: what the vip process says that it holds; None while it says nothing. said: all of its
    last word, likewise.
    fitness: of the gateways whose selector takes the node, by name.
    """

    name = "report"

    def __init__(
        self,
        api: Api,
        *,
        node: str,
        state: Callable[[], State],
        vip: Callable[[], VipState | None],
        tunnel: Callable[[], EgressTunnel | None],
        heartbeat: float,
        claims: Callable[[], Iterable[Claim] | None] = lambda: None,
        said: Callable[[], Said | None] = lambda: None,
        fitness: Callable[[], Mapping[str, Verdict]] = dict,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._node = node
        self._state = state
        self._vip = vip
        self._tunnel = tunnel
        self._heartbeat = heartbeat
        self._claims = claims
        self._vip_said = said
        self._fitness = fitness
        self._clock = clock
        self._monotonic = monotonic
        self._silence = Silence(monotonic())
        self._wakeup = Wakeup()
        self._said: Report | None = None
        self._times: deque[float] = deque(maxlen=BURST)
        self._troubled = float("-inf")
        self._conditions: tuple[Condition, ...] | None = None
        self._error = ""

    def ready(self) -> bool:
        """Whether a report has ever arrived: an API that is away later is not this node's fault."""
        return self._said is not None

    def changed(self) -> None:
        """There may be something new to say; from any thread."""
        self._wakeup.ask()

    def run(self, stop: threading.Event) -> None:
        """Report until stopped. The last word stays: what is programmed goes on working."""
        self._wakeup.ask_on(stop, name=self.name)
        due = self._monotonic()
        while not stop.is_set():
            now = self._monotonic()
            report = self._report(self._state(), self._tunnel())
            when = min(due, self._worth(report))
            if now >= when:
                well = self.say()
                self._times.append(self._monotonic())
                when = due = now + (self._heartbeat if well else min(RETRY, self._heartbeat))
            self._wakeup.wait(most=max(0.0, when - self._monotonic()))

    def _worth(self, report: Report) -> float:
        return worth_saying(report, said=self._said, times=self._times, troubled=self._troubled)

    def say(self) -> bool:
        """Write the status now, if there is anything to say; whether all is said.

        API errors are logged once and leave it to the next time.
        """
        state = self._state()
        known = self._tunnel()
        if known is None:
            # Not synced, or not made yet: then it is not known what was said before.
            return False
        if too_soon(state, before=self._said.phase if self._said else known.status.phase):
            return False
        report = self._report(state, known)
        before = known.status.conditions if self._conditions is None else self._conditions
        status = status_of(report, before, now=self._clock(), agent=version("outgate"))
        try:
            self._api.apply(
                EGRESS_TUNNEL, self._node, {"status": status}, manager=MANAGER, subresource="status"
            )
        except ApiError as error:
            if not self._error:
                log.warning("status not written", error=str(error))
            self._error = str(error)
            return False
        if self._error:
            log.info("status written again")
        if self._said is None or self._said.news.troubles != report.news.troubles:
            self._troubled = self._monotonic()
        self._error, self._said, self._conditions = "", report, status.conditions
        return True

    def _report(self, state: State, known: EgressTunnel | None) -> Report:
        before = known.status.holding if known is not None else ()
        news = NO_NEWS if known is None else News(known.status.moves, known.status.troubles)
        if self._said is not None:
            before, news = self._said.holding, self._said.news
        claims = self._claims()
        self._silence = self._silence.after(claims is not None, now=self._monotonic())
        silent = self._silence.lasted(self._monotonic())
        return report_of(
            state,
            self._vip(),
            holding=holding_of(claims, before=before, silent=silent),
            news=news_of(self._vip_said(), before=news, silent=silent),
            fitness=fitness_of(self._fitness()),
        )


def _phase(state: State) -> Phase:
    if state.programmed:
        return "Ready"
    return "Failed" if state.error else "Pending"


def _underlay(state: State) -> Underlay:
    found = state.underlay
    if found is None:
        return NO_UNDERLAY
    return Underlay(
        interface=found.interface,
        ipv4=str(found.ipv4 or ""),
        ipv6=str(found.ipv6 or ""),
        mtu=found.mtu,
    )


def _programmed(state: State) -> tuple[bool, str, str]:
    if state.programmed:
        return True, "Programmed", "; ".join((*state.problems, *state.doubts))[:MESSAGE_MAX]
    if state.error:
        return False, "Failed", state.error[:MESSAGE_MAX]
    return False, "Waiting", f"waiting for {state.waiting}"[:MESSAGE_MAX]


def _announcing(vip: VipState) -> tuple[bool, str, str]:
    if not vip.connected:
        return False, "VipAway", "the vip process does not answer: is its container running?"
    if vip.problems:
        return False, "NotHeld", "; ".join(vip.problems)[:MESSAGE_MAX]
    if not vip.settled:
        return False, "Pending", "the vip process has not answered yet"
    held = sum(len(one.addresses) for one in vip.report.claims) if vip.report else 0
    return True, "Held", f"{held} address{'' if held == 1 else 'es'} held and announced"
