"""Carries out what the engine decides.

A gate that refuses counts as one that has let go: what the engine believes to hold, and the kernel
does not, is given up.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import structlog

from outgate.api.view import IPAddress
from outgate.vip.engine import actions as act
from outgate.vip.engine import events as ev
from outgate.vip.engine.engine import Engine
from outgate.vip.engine.peers import NEVER
from outgate.vip.engine.settings import Settings
from outgate.vip.gate.errors import GateRefused, Lapsed
from outgate.vip.peer.codec import PeerCodec
from outgate.vip.protocol import Word
from outgate.vip.shell.chronicle import Chronicle
from outgate.vip.shell.claims import Claims, by_gateway
from outgate.vip.shell.edges import Edges
from outgate.vip.shell.handover import Handover
from outgate.vip.shell.surroundings import Surroundings

log = structlog.get_logger()


@dataclass(slots=True)
class Here:
    """What there is of this node by now.

    word: the agent's last. codec: since it said who this node is. engine: since this node is, or
    may become, a gateway node. handover: since it is known where it speaks from. ready_to_restart:
    since all others know of it; until when they leave alone what is held.
    """

    word: Word | None = None
    codec: PeerCodec | None = None
    engine: Engine | None = None
    handover: Handover | None = None
    ready_to_restart: float | None = None


class Acting:
    """The engine's hands. For one thread; `now` is monotonic seconds."""

    def __init__(
        self,
        here: Here,
        edges: Edges,
        surroundings: Surroundings,
        claims: Claims,
        chronicle: Chronicle,
        *,
        settings: Settings,
    ) -> None:
        self._here, self._edges, self._surroundings = here, edges, surroundings
        self._claims, self._chronicle, self._settings = claims, chronicle, settings
        self._events: list[ev.Event] = []

    def carry_out(
        self, engine: Engine, actions: Iterable[act.Action], *, now: float
    ) -> Sequence[ev.Event]:
        """In their order, but for the long work of claims, which comes behind the heartbeat.

        So all leases run before any of it, and the acknowledgements that they go on by are under
        way meanwhile. What has come of it, for the engine to hear.
        """
        self._events = []
        claims: list[act.Claim] = []
        checks: list[act.CheckReturnPath] = []
        for action in actions:
            match action:
                case act.Claim():
                    if self._holds(action):
                        gateway, addresses = action.gateway, action.addresses
                        self._claims.take(engine.node, gateway, addresses, epoch=action.epoch)
                        claims.append(action)
                case act.CheckReturnPath():
                    checks.append(action)
                case _:
                    self._do(action, now)
        if claims:
            self._follow(engine, claims, now)
        for check in checks:
            self._edges.segment.check(check)
        return self._events

    def tell(self, addresses: Iterable[IPAddress], *, now: float) -> None:
        """All nodes, where their packets have to go now."""
        if self._here.codec is None:
            return
        fresh = {one: self._claims.own[one] for one in addresses if one in self._claims.own}
        self._here.codec.moved(self._claims.whole(), by_gateway(fresh), now=now)
        self._edges.voice.send(self._here.codec.due(now=now))

    def _do(self, action: act.Action, now: float) -> None:
        edges = self._edges
        match action:
            case act.Send() | act.SendAck():
                if self._here.codec is not None:
                    edges.voice.send(self._here.codec.encode(action))
                if isinstance(action, act.Send):
                    self._chronicle.tally.sent += len(action.to)
            case act.Refresh(gateway, addresses, until):
                self._gated(gateway, addresses, lambda: edges.gate.refresh(gateway, until=until))
            case act.Release():
                self._release(action, now)
            case act.ReadLeases() | act.WriteLease():
                edges.leases.submit(action)
            case act.Probe():
                edges.segment.probe(action, now=now)
            case _:
                self._do_seldom(action, now)

    def _do_seldom(self, action: act.Action, now: float) -> None:
        match action:
            case act.Prepare():
                self._prepare(action, now)
            case act.Announce(addresses):
                self._edges.lan.announce(addresses)
            case act.TellAgain():
                if self._here.codec is not None:
                    self._here.codec.again(now=now)
                    self._edges.voice.send(self._here.codec.due(now=now))
            case act.Seek(nodes):
                self._surroundings.seek(nodes, self._here.word)
            case act.Report():
                self._chronicle.reported(action, now=now)
            case act.ReadyToRestart(until):
                self._here.ready_to_restart = until

    def _prepare(self, prepare: act.Prepare, now: float) -> None:
        gateway, addresses = prepare.gateway, prepare.addresses
        self._chronicle.asked(addresses, now=now)
        if self._here.handover is None or self._here.codec is None:
            self._events.append(ev.Prepared(gateway, addresses))
            return
        self._edges.voice.send(self._here.codec.greet(now=now))
        until = now + self._settings.prepare
        self._here.handover.prepare(gateway, addresses, holder=prepare.holder, until=until, now=now)

    def _follow(self, engine: Engine, taken: Collection[act.Claim], now: float) -> None:
        """The kernel has taken these claims: all that follows from it."""
        if self._here.handover is not None:  # before anybody sends anything here
            for claim in taken:
                self._here.handover.claimed(claim.addresses, came_from=claim.came_from, now=now)
        self._surroundings.claimed(self._here.word)
        self._edges.lan.turn(now=now)
        self.tell(chain.from_iterable(claim.addresses for claim in taken), now=now)
        for claim in taken:
            source = engine.peers.by_node.get(claim.came_from)
            gone = (
                source is not None and source.heard > NEVER and engine.peers.silent(source, now=now)
            )
            heard = source.heard if source is not None and gone else None
            self._chronicle.claimed(claim, heard=heard, now=now)

    def _holds(self, claim: act.Claim) -> bool:
        """Whether the kernel took the claim."""
        return self._gated(
            claim.gateway,
            claim.addresses,
            lambda: self._edges.gate.claim(
                claim.gateway, claim.addresses, epoch=claim.epoch, until=claim.until
            ),
        )

    def _release(self, release: act.Release, now: float) -> None:
        try:
            self._edges.gate.release(release.addresses, pass_on=release.pass_on)
        except GateRefused as error:
            log.error("addresses not let go, their lease runs out", error=str(error))
        epochs = [own.epoch for one in release.addresses if (own := self._claims.own.get(one))]
        self._claims.lose(release.addresses)
        self._surroundings.claimed(self._here.word)
        self._edges.lan.turn(now=now)
        self.tell((), now=now)
        if self._here.handover is not None:
            self._here.handover.released(
                release.addresses, to=release.to, pass_on=release.pass_on, now=now
            )
        self._chronicle.released(release, epochs=epochs, now=now)

    def _gated(
        self, gateway: str, addresses: frozenset[IPAddress], change: Callable[[], None]
    ) -> bool:
        """Whether the kernel took it; if not, the engine hears that it holds them no longer."""
        try:
            change()
        except (GateRefused, Lapsed) as error:
            log.warning("not held", gateway=gateway, addresses=len(addresses), error=str(error))
            self._events.append(ev.ElementsGone(gateway, addresses))
            return False
        return True
