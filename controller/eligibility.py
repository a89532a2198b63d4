"""Which candidate nodes may hold addresses now, and why the others may not. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from outgate.api.core import DRAINED_ANNOTATION, Node
from outgate.api.gateway import GatewayNode
from outgate.api.tunnel import EgressTunnel

Reason = Literal[
    "",
    "Deleting",
    "NotReady",
    "Cordoned",
    "Drained",
    "NoTunnel",
    "AgentNotReady",
    "AgentSilent",
    "Unfit",
]

MESSAGE_MAX = 512
"""Characters that the API takes of a node's message."""

CLOCK_SKEW = 300.0
"""Seconds that a node's clock may be off before its first heartbeat that we see is disbelieved."""

GRACE = 15.0
"""Seconds within which every agent that works has reported: they beat every 10 s, and try again
every 2 s while the API server is away."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A node's last heartbeat as it was written, and when we saw it change (monotonic seconds).

    Nodes' clocks are not compared with ours: what counts is that the value changes.
    """

    value: str
    seen: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a candidate node is eligible; if not, a word and a sentence about why."""

    node: str
    reason: Reason = ""
    message: str = ""

    @property
    def eligible(self) -> bool:
        """Whether the node may hold addresses."""
        return not self.reason

    def wire(self) -> GatewayNode:
        """The verdict as it stands in the gateway's status."""
        return GatewayNode(
            name=self.node,
            status="Ready" if self.eligible else "NotReady",
            reason=self.reason,
            message=self.message[:MESSAGE_MAX],
        )


def judge(
    node: Node, *, gateway: str, tunnel: EgressTunnel | None, silent: bool, unmarked: str = ""
) -> Verdict:
    """Whether this candidate may hold the gateway's addresses; the first reason that applies.

    `silent`: its agent's heartbeat is stale. `unmarked`: why no mark could be given, if so.
    """
    reason, message = next(
        _objections(node, gateway=gateway, tunnel=tunnel, silent=silent, unmarked=unmarked),
        ("", ""),
    )
    return Verdict(node.metadata.name, reason, message)


def _objections(
    node: Node, *, gateway: str, tunnel: EgressTunnel | None, silent: bool, unmarked: str
) -> Iterator[tuple[Reason, str]]:
    if node.metadata.deletion_timestamp is not None:
        yield "Deleting", "the node is being deleted"
    if not is_ready(node):
        yield "NotReady", "the node's Ready condition is not True"
    if node.spec.unschedulable:
        yield "Cordoned", "the node is cordoned: kubectl uncordon makes it eligible"
    if DRAINED_ANNOTATION in node.metadata.annotations:
        name = node.metadata.name
        yield "Drained", f"the node is drained: outgate drain --undo {name} makes it eligible"
    if tunnel is None or tunnel.spec.mark == 0:
        yield "NoTunnel", unmarked or "no tunnel address or mark is allocated yet"
        return
    if not tunnel.status.last_heartbeat_time:
        yield "AgentNotReady", "the node's agent has not reported yet"
    if silent:
        yield "AgentSilent", "the node's agent has stopped reporting"
    if tunnel.status.phase != "Ready":
        yield "AgentNotReady", f"the node's agent reports {tunnel.status.phase}"
    for fitness in tunnel.status.fitness:
        if fitness.gateway == gateway and not fitness.fit:
            why = ": ".join(filter(None, (fitness.reason, fitness.message)))
            yield "Unfit", why or "the node's agent says that it cannot serve the gateway"


def is_ready(node: Node) -> bool:
    """Whether the node's Ready condition is True."""
    return any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)


def hear(
    tunnels: Mapping[str, EgressTunnel],
    *,
    beats: Mapping[str, Beat],
    silent: frozenset[str],
    age: Mapping[str, float],
    now: float,
    stale: float,
) -> dict[str, Beat]:
    """The heartbeats after a look at the tunnels, by node.

    A value seen for the first time counts as fresh, or a new leader would move all addresses;
    but not of a node in `silent` (the last leader's verdict), nor one whose `age` in seconds, by
    the clocks, is past any skew: those have to beat again.
    """
    heard: dict[str, Beat] = {}
    for name, tunnel in tunnels.items():
        value = tunnel.status.last_heartbeat_time
        if not value:
            continue
        known = beats.get(name)
        if known is not None:
            heard[name] = known if known.value == value else Beat(value, now)
        elif name in silent or age.get(name, 0.0) > stale + CLOCK_SKEW:
            heard[name] = Beat(value, now - stale - 1.0)
        else:
            heard[name] = Beat(value, now)
    return heard


def deaf(beats: Mapping[str, Beat], *, now: float) -> bool:
    """Whether no agent at all was heard for `GRACE`: then it is more likely that we don't hear.

    Our watch may hang or wait to be tried again while the agents report, and the vip processes see
    for themselves who lives. Kubernetes' node controller stops evicting for the same reason when
    all nodes seem to be away (its `stateFullDisruption`).
    """
    return bool(beats) and now - max(beat.seen for beat in beats.values()) >= GRACE


def forgiven(
    beats: Mapping[str, Beat], *, silent: frozenset[str], now: float, stale: float
) -> dict[str, Beat]:
    """The heartbeats after a time in which none could come: nobody falls silent for `GRACE`.

    Where nobody could lead, the API server was away, and nobody could report either: an address
    must not count as lost for that. Those in `silent` (the verdict before that time) stay silent.
    """
    least = now - max(0.0, stale - GRACE)
    return {
        name: beat if name in silent or beat.seen >= least else Beat(beat.value, least)
        for name, beat in beats.items()
    }
