import pytest

from outgate.api.core import DRAINED_ANNOTATION, Node, NodeCondition, NodeSpec, NodeStatus
from outgate.api.meta import ObjectMeta
from outgate.api.tunnel import EgressTunnel, EgressTunnelSpec, EgressTunnelStatus, Fitness
from outgate.controller.eligibility import (
    CLOCK_SKEW,
    GRACE,
    MESSAGE_MAX,
    Beat,
    forgiven,
    hear,
    judge,
)

BEAT = "2026-01-01T00:00:00Z"


def node(
    *, ready: str = "True", cordoned: bool = False, deleted: bool = False, drained: bool = False
) -> Node:
    return Node(
        metadata=ObjectMeta(
            name="node-a",
            deletion_timestamp=BEAT if deleted else None,
            annotations={DRAINED_ANNOTATION: "true"} if drained else {},
        ),
        spec=NodeSpec(unschedulable=cordoned),
        status=NodeStatus(conditions=(NodeCondition(type="Ready", status=ready),)),
    )


def tunnel(
    *, mark: int = 1, phase: str = "Ready", beat: str = BEAT, fitness: tuple[Fitness, ...] = ()
) -> EgressTunnel:
    return EgressTunnel(
        metadata=ObjectMeta(name="node-a"),
        spec=EgressTunnelSpec(index=1, mac="02:00:00:00:00:01", mark=mark),
        status=EgressTunnelStatus(
            phase=phase,  # type: ignore[arg-type]
            last_heartbeat_time=beat,
            fitness=fitness,
        ),
    )


def fitness(gateway: str = "gw", *, fit: bool = False) -> tuple[Fitness, ...]:
    return (Fitness(gateway=gateway, fit=fit, reason="ProbesFailed", message="icmp: no answer"),)


@pytest.mark.parametrize(
    ("one", "its", "silent", "reason"),
    [
        (node(), tunnel(), False, ""),
        (node(deleted=True), tunnel(), False, "Deleting"),
        (node(ready="False"), tunnel(), False, "NotReady"),
        (node(ready="Unknown"), tunnel(), False, "NotReady"),
        (Node(metadata=ObjectMeta(name="node-a")), tunnel(), False, "NotReady"),
        (node(cordoned=True), tunnel(), False, "Cordoned"),
        (node(drained=True), tunnel(), False, "Drained"),
        (node(drained=True, cordoned=True), tunnel(), False, "Cordoned"),
        (node(drained=True), None, True, "Drained"),
        (node(), None, False, "NoTunnel"),
        (node(), tunnel(mark=0), False, "NoTunnel"),
        (node(), tunnel(phase="Pending"), False, "AgentNotReady"),
        (node(), tunnel(phase="Failed"), False, "AgentNotReady"),
        (node(), tunnel(beat=""), False, "AgentNotReady"),
        (node(), tunnel(), True, "AgentSilent"),
        (node(), tunnel(fitness=fitness()), False, "Unfit"),
        (node(), tunnel(fitness=fitness(fit=True)), False, ""),
        (node(), tunnel(fitness=fitness("other")), False, ""),
        (node(), tunnel(phase="Failed", fitness=fitness()), False, "AgentNotReady"),
        (node(), tunnel(fitness=fitness()), True, "AgentSilent"),
        (node(deleted=True, ready="False", cordoned=True), None, True, "Deleting"),
        (node(ready="False", cordoned=True), None, True, "NotReady"),
        (node(cordoned=True), None, True, "Cordoned"),
    ],
)
def test_every_reason(one: Node, its: EgressTunnel | None, silent: bool, reason: str) -> None:
    verdict = judge(one, gateway="gw", tunnel=its, silent=silent)
    assert verdict.reason == reason
    assert verdict.eligible is (reason == "")
    assert bool(verdict.message) is bool(reason)
    assert verdict.wire().status == ("NotReady" if reason else "Ready")


def test_node_without_a_mark_says_why() -> None:
    verdict = judge(node(), gateway="gw", tunnel=None, silent=False, unmarked="all in use")
    assert verdict.message == "all in use"


def test_unfit_node_says_why_in_its_agents_words() -> None:
    unfit = judge(node(), gateway="gw", tunnel=tunnel(fitness=fitness()), silent=False)
    assert unfit.message == "ProbesFailed: icmp: no answer"
    bare = tunnel(fitness=(Fitness(gateway="gw", fit=False),))
    assert "cannot serve" in judge(node(), gateway="gw", tunnel=bare, silent=False).message


def test_message_is_no_longer_than_the_api_takes() -> None:
    long = tunnel(fitness=(Fitness(gateway="gw", fit=False, reason="r", message="m" * 512),))
    verdict = judge(node(), gateway="gw", tunnel=long, silent=False)
    assert len(verdict.wire().message) == MESSAGE_MAX


def heard(
    value: str, *, known: Beat | None = None, silent: bool = False, age: float = 0.0
) -> Beat | None:
    beats = hear(
        {"a": tunnel(beat=value)},
        beats={"a": known} if known else {},
        silent=frozenset({"a"} if silent else ()),
        age={"a": age},
        now=100.0,
        stale=30.0,
    )
    return beats.get("a")


def test_heartbeat_counts_from_when_its_value_changed() -> None:
    assert heard("t2", known=Beat("t1", 50.0)) == Beat("t2", 100.0)
    assert heard("t1", known=Beat("t1", 50.0)) == Beat("t1", 50.0)


def test_first_sight_is_fresh_but_of_one_that_was_silent_or_is_ancient() -> None:
    def stale(beat: Beat | None) -> bool:
        assert beat is not None
        return beat.seen + 30.0 <= 100.0

    assert not stale(heard("t1"))
    assert not stale(heard("t1", age=CLOCK_SKEW))  # a clock may be off
    assert stale(heard("t1", silent=True))
    assert stale(heard("t1", age=CLOCK_SKEW + 31))


def test_agent_that_never_reported_has_no_heartbeat() -> None:
    assert heard("") is None


def test_a_new_leader_gives_all_time_to_report_but_those_that_were_silent_before() -> None:
    beats = {"late": Beat("t1", 10.0), "dead": Beat("t1", 10.0), "well": Beat("t2", 99.0)}
    taken = forgiven(beats, silent=frozenset({"dead"}), now=100.0, stale=30.0)
    assert taken["late"].seen + 30.0 == 100.0 + GRACE
    assert (taken["dead"], taken["well"]) == (beats["dead"], beats["well"])
    impatient = forgiven(beats, silent=frozenset(), now=100.0, stale=5.0)
    assert impatient["late"].seen == 100.0
