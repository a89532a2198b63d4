"""The agent's loop: snapshot, view, kernel, again and again; the only one that writes there.

Level-triggered: what a pass could not do stays to be done, and is tried again, ever more slowly.
Nothing is written before all stores have synced.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from outgate.agent import metrics
from outgate.agent.apply import Done, Drift, Programmer
from outgate.agent.clashes import clashes, doubts
from outgate.agent.errors import AgentError, FlowsRefused
from outgate.agent.holders import NOTHING_SAID, Claims
from outgate.agent.mesh import LocalNode
from outgate.agent.node_state import NodeState
from outgate.agent.view import Snapshot, ViewMaker
from outgate.agent.wake import Wakeup
from outgate.api.view import DataPathSettings, NodeView
from outgate.daemon.backoff import Backoff
from outgate.rules.errors import KernelRefused as RulesRefused
from outgate.tunnel.errors import KernelRefused as MeshRefused
from outgate.tunnel.errors import NoUnderlay
from outgate.tunnel.underlay import Host, Underlay, choose

log = structlog.get_logger("outgate.agent")

EXPECTED = (AgentError, FlowsRefused, RulesRefused, MeshRefused, NoUnderlay)
"""What a pass may fail with; anything else is a fault of ours, and the supervisor's business."""


SOON = 0.05
"""Seconds until a pass that was held back is tried again."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Timings in seconds.

    coalesce: from the first change to the pass, so that a burst is one. news: between two looks
    whether the kernel said something of the underlay. resync: between two looks at the node's
    interfaces, even if it did not. drift: between two looks whether others changed what was
    programmed; up to `busy` where they would take more than this `share` of a CPU: what was changed
    is to be put back within 5 s. verify: between two comparisons of all of it, even if nobody seems
    to have. rest: longest pause after a pass that took long, as long as it took: while a thousand
    addresses move, each move would be a pass of all of them.
    """

    coalesce: float = 0.005
    news: float = 0.5
    resync: float = 30.0
    drift: float = 3.0
    busy: float = 4.0
    verify: float = 300.0
    share: float = 0.05
    rest: float = 0.2
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.5, most=30.0))

    def gather(self, took: float) -> float:
        """Seconds for which changes are gathered before a pass; the last one took that long."""
        return max(self.coalesce, min(took, self.rest))

    def next_check(self, cpu: float) -> float:
        """Seconds from one look for drift to the next; the last one took so much of a CPU's time.

        Not of the clock's: others may have had the CPU.
        """
        return max(self.drift, min(cpu / self.share, self.busy))


@dataclass(frozen=True, slots=True)
class State:
    """How the node's data path is doing, for everybody who asks.

    programmed: the kernel has what the API asks for. waiting: for what, if it can't be asked yet.
    error: why the last pass failed; failures: how many did so in a row. problems: objects that
    could not be honoured. doubts: what others on the node do that may get in our way.
    """

    programmed: bool = False
    waiting: str = "the first pass"
    error: str = ""
    failures: int = 0
    underlay: Underlay | None = None
    problems: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


class Source(Protocol):
    """Where snapshots come from: `Stores`."""

    def unsynced(self) -> tuple[str, ...]:
        """Names of the stores that have never held all there is."""

    def snapshot(self) -> Snapshot:
        """What all of them hold."""

    def subscribe(self, ask: Callable[[float], object]) -> None:
        """Ask for a turn after each change, in so many seconds."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What is asked of the node itself.

    host: its interfaces and routes. missing: what it lacks, a sentence each. others: what others
    have on it. moved: whether the underlay, of this name, may be another since that was last asked.
    """

    name: str
    detect: str
    host: Callable[[], Host]
    missing: Callable[[], tuple[str, ...]]
    others: Callable[[], NodeState]
    moved: Callable[[str], bool]


class Reconciler:
    """Keeps the kernel equal to the API's view of this node: a Task.

    first_time: called once, after the first pass that succeeded. claims: who holds what, as the
    vip process says; say `claimed` when that is news. held_back: whether the first pass has to
    wait for it.
    """

    name = "reconcile"

    def __init__(
        self,
        source: Source,
        programmer: Programmer,
        facts: NodeFacts,
        *,
        settings: DataPathSettings,
        pace: Pace = Pace(),
        first_time: Callable[[], object] = lambda: None,
        claims: Callable[[], Claims] = lambda: NOTHING_SAID,
        held_back: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._programmer = programmer
        self._facts = facts
        self._settings = settings
        self._pace = pace
        self._first_time = first_time
        self._claims = claims
        self._held_back = held_back
        self._clock = clock
        self._maker = ViewMaker(strict_start=settings.strict_start)
        self._wakeup = Wakeup()
        self._state = State()
        self._programmed: tuple[NodeView, DataPathSettings] | None = None
        self._underlay: Underlay | None = None
        self._looked = float("-inf")
        self._doubts: tuple[str, ...] = ()
        self._verified = clock()
        self._check_due = self._verified + pace.drift
        self._took = 0.0
        self._failures = 0
        self._worked = False
        self._subscribers: list[Callable[[], object]] = []
        source.subscribe(self._wakeup.ask)

    def state(self) -> State:
        """How it is doing; from any thread."""
        return self._state

    def subscribe(self, callback: Callable[[], object]) -> None:
        """Call this, in the loop's thread, after each change of the state."""
        self._subscribers.append(callback)

    def claimed(self) -> None:
        """Addresses may have moved: a pass at once. From any thread."""
        self._wakeup.ask()

    def ready(self) -> bool:
        """Whether the kernel has what the API asks for."""
        return self._state.programmed

    def unready(self) -> str:
        """Why it is not ready; empty if it is."""
        state = self._state
        if state.programmed:
            return ""
        return state.error or f"waiting for {state.waiting}"

    def run(self, stop: threading.Event) -> None:
        """Reconcile until stopped. What the kernel holds stays: stopping is not letting go."""
        self._wakeup.ask_on(stop, name=self.name)
        self._wakeup.ask()
        while not stop.is_set():
            asked = self._wait(self.pause())
            if asked:
                stop.wait(self._pace.gather(self._took))
            if stop.is_set():
                return
            if asked or self._failures or self._clock() - self._looked >= self._pace.resync:
                began = self._clock()
                self.step()
                self._took = self._clock() - began
            if self._clock() >= self._check_due:
                self.check()

    def pause(self) -> float:
        """Seconds until there is something to do, if nothing happens until then."""
        wait = self._pace.backoff.wait(self._failures)
        return wait or max(0.0, self._check_due - self._clock())

    def _wait(self, most: float) -> bool:
        """Until there is something to do, at most so many seconds; whether there is."""
        while most > 0:
            asked = self._wakeup.wait(most=min(most, self._pace.news))
            if self._listen() or asked:
                return True
            most -= self._pace.news
        return False

    def _listen(self) -> bool:
        """Whether the underlay is to be looked at anew."""
        moved = self._facts.moved(self._underlay.interface if self._underlay else "")
        if moved:
            self._looked = float("-inf")
        return moved

    def step(self) -> None:
        """One pass; never raises what is expected to go wrong."""
        unsynced = self._source.unsynced()
        if unsynced:
            self._become(State(waiting=f"the API: {', '.join(unsynced)}"))
            return
        if self._programmed is None and not self._worked and self._held_back():
            self._become(State(waiting="the vip process"))
            self._wakeup.ask(SOON)
            return
        try:
            self._pass()
        except EXPECTED as error:
            self._failed(error)
        else:
            if self._failures:
                log.info("works again", failures=self._failures)
            self._failures = 0

    def check(self) -> None:
        """Repair what others changed since the last check; never raises what is expected.

        Costs next to nothing on a node where nobody has written.
        """
        began, cpu = self._clock(), time.thread_time()
        self._check_due = began + self._pace.drift
        if self._programmed is None:
            return
        thorough = began - self._verified >= self._pace.verify
        if thorough:
            self._verified = began
        try:
            drift = self._programmer.drift(thorough=thorough)
            if drift:
                self._repair(drift, began)
        except EXPECTED as error:
            self._failed(error)
        self._check_due = began + self._pace.next_check(time.thread_time() - cpu)

    def _repair(self, drift: Drift, began: float) -> None:
        # Counted first: if it can't be repaired, it was there all the same.
        if drift.mesh:
            metrics.DRIFT.labels("mesh").inc()
        if drift.rules:
            metrics.DRIFT.labels("rules").inc()
        done = self._programmer.repair(drift)
        metrics.FLOWS_RESTARTED.inc(done.flows)
        log.warning(
            "drift repaired",
            mesh=done.mesh,
            rules=done.rules,
            flows=done.flows,
            took=round(self._clock() - began, 4),
        )

    def _pass(self) -> None:
        underlay = self._look()
        local = LocalNode(self._facts.name, underlay.ipv4, underlay.ipv6, self._settings.mark_mask)
        outcome = self._maker.view(self._source.snapshot(), local=local, claims=self._claims())
        if outcome.view is None:
            waiting = State(
                waiting=outcome.waiting,
                underlay=underlay,
                problems=outcome.problems,
                doubts=self._doubts,
            )
            if self._programmed is None:
                self._become(waiting)
            # Otherwise what is programmed stays: it is the best that is known.
            return
        settings = replace(
            self._settings, underlay_interface=underlay.interface, mtu=underlay.tunnel_mtu
        )
        if self._programmed != (outcome.view, settings):
            self._program(outcome.view, settings, local)
        self._become(
            State(
                programmed=True,
                waiting="",
                underlay=underlay,
                problems=outcome.problems,
                doubts=self._doubts,
            )
        )

    def _program(self, view: NodeView, settings: DataPathSettings, local: LocalNode) -> None:
        self._require()
        began = self._clock()
        first = self._programmed is None
        own = frozenset(address for address in (local.ipv4, local.ipv6) if address)
        with metrics.APPLY_SECONDS.time():
            done = self._programmer.program(view, settings, own=own)
        self._programmed = (view, settings)
        metrics.MATCHED_PODS.set(len(view.pods))
        metrics.POLICIES.set(_policies(view))
        metrics.HELD_ADDRESSES.set(_held_here(view))
        metrics.FLOWS_RESTARTED.inc(done.flows)
        if done or first:
            _tell(done, view, took=self._clock() - began)
        if not self._worked:
            self._worked = True
            self._first_time()

    def _require(self) -> None:
        """Before the first write, and the first after a failure. Raises AgentError."""
        if self._programmed is not None:
            return
        missing = self._facts.missing()
        if missing:
            raise AgentError("; ".join(missing))
        seen = self._facts.others()
        self._doubts = doubts(seen, self._settings)
        found = clashes(seen, self._settings)
        if found:
            raise AgentError("; ".join(found))

    def _look(self) -> Underlay:
        """The underlay; looked up anew now and then, and after each failure."""
        now = self._clock()
        stale = now - self._looked >= self._pace.resync
        if self._underlay is None or stale or self._failures:
            self._underlay = choose(self._facts.host(), self._facts.detect)
            self._looked = now
        return self._underlay

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        # Whatever was half done is not what was asked for: do all of it again.
        self._programmed = None
        metrics.APPLY_ERRORS.inc()
        if str(error) != self._state.error:
            log.error("pass failed", error=str(error), failures=self._failures)
        self._become(
            State(
                waiting="",
                error=str(error),
                failures=self._failures,
                underlay=self._underlay,
                problems=self._state.problems,
                doubts=self._doubts,
            )
        )

    def _become(self, state: State) -> None:
        metrics.PROGRAMMED.set(state.programmed)
        for problem in sorted(set(state.problems) - set(self._state.problems)):
            log.warning("object not honoured", problem=problem)
        for doubt in sorted(set(state.doubts) - set(self._state.doubts)):
            log.warning("others may get in the way", doubt=doubt)
        if state == self._state:
            return
        self._state = state
        for callback in self._subscribers:
            callback()


def _tell(done: Done, view: NodeView, *, took: float) -> None:
    log.info(
        "programmed",
        mesh=done.mesh,
        rules=done.rules,
        flows=done.flows,
        addresses=done.addresses,
        pods=len(view.pods),
        policies=_policies(view),
        took=round(took, 4),
    )


def _held_here(view: NodeView) -> int:
    """The egress ids that packets leave by from this node."""
    return sum(node == view.node.name for node in view.next_hops.values())


def _policies(view: NodeView) -> int:
    """How many there are; one with several addresses has several entries."""
    return len({policy.key for policy in view.policies.values()})
