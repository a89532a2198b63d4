"""Carries out what the engine decides, and tells it what happens: no loop, no clock, no sockets.

A gate that refuses counts as one that has let go: what the engine believes to hold, and the kernel
does not, is given up.
"""

from collections import deque
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

import structlog

from outgate.api.view import IPAddress
from outgate.vip.engine import actions as act
from outgate.vip.engine import events as ev
from outgate.vip.engine.engine import Engine
from outgate.vip.engine.evidence import FOREVER
from outgate.vip.engine.peers import NEVER
from outgate.vip.engine.settings import Settings
from outgate.vip.errors import PeerGone
from outgate.vip.gate.errors import GateRefused, Lapsed
from outgate.vip.peer.codec import PeerCodec
from outgate.vip.peer.words import MovedHeard
from outgate.vip.protocol import Numbers, Report, Word
from outgate.vip.shell.account import Account
from outgate.vip.shell.chronicle import Chronicle
from outgate.vip.shell.claims import Claims, by_gateway
from outgate.vip.shell.edges import Edges
from outgate.vip.shell.handover import Handover, Mesh
from outgate.vip.shell.memberships import addresses_of, news, parse
from outgate.vip.shell.surroundings import Surroundings

log = structlog.get_logger()

RETRY = 5.0
"""Seconds until a gate that refused to be made, or told, is asked again."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which process this is. boot: greater than that of any before on this node. wall: Unix time at
    0 of the clock."""

    boot: int
    wall: float = 0.0


class Driver:
    """One node's vip process without its sockets. For one thread; `now` is monotonic seconds."""

    def __init__(self, edges: Edges, identity: Identity, *, settings: Settings) -> None:
        self._edges, self._identity, self._settings = edges, identity, settings
        self.codec: PeerCodec | None = None
        self.engine: Engine | None = None
        self.claims = Claims()
        self.chronicle = Chronicle(wall=identity.wall)
        self.word: Word | None = None
        self._seen: Word | None = None
        """The word as the engine has heard it."""
        self.ready_to_restart: float | None = None
        self.handover: Handover | None = None
        """Made as soon as it is known where this node speaks from."""
        self._events: deque[ev.Event] = deque()
        self._account = Account(self.claims, edges.lan, self.chronicle)
        self._surroundings = Surroundings(edges, self.claims, self.chronicle)
        self._settled = False
        self._again = FOREVER

    def told(self, word: Word, *, now: float) -> None:
        """The agent's word. Raises PeerGone if it is nonsense, and takes nothing of it."""
        if self.codec is not None and word.node != self.codec.node:
            raise PeerGone(f"word of node {word.node}, and this is {self.codec.node}")
        seen = self._surroundings.seen(word)
        events = list(news(self._seen if self.engine is not None else None, seen))
        groups = {group.gateway: addresses_of(group) for group in word.groups}
        nodes = {name: parse(address) for name, address in word.nodes.items()}
        used = frozenset(map(parse, word.ids))
        before, self.word, self._seen = self.word, word, seen
        if self.codec is None:
            self.codec = PeerCodec(word.node, boot=self._identity.boot)
        self.codec.know(nodes, now=now)
        # What is heard of an address before the agent knows it is kept: nobody says it again.
        self.claims.forget(frozenset(map(parse, before.ids if before else ())) - used)
        if self.engine is None and groups:
            self._begin(word.node, groups, now=now)
        if self.engine is not None:
            self._edges.leases.own({group.gateway: group.uid for group in word.groups})
            self._manage(groups, now=now)
        self._surroundings.claimed(self.word)
        self.inform()
        self._events.extend(events)
        self._run(now)
        gone = {group.gateway for group in before.groups} - groups.keys() if before else set()
        for gateway in sorted(gone):
            self._forget(gateway)

    def happen(self, event: ev.Event | MovedHeard, *, now: float) -> None:
        """Something happened."""
        if isinstance(event, MovedHeard):
            moved = self.claims.hear(event.moved)
            if moved and self.handover is not None:
                self.handover.moved(event.moved.node, moved, now=now)
            return
        if isinstance(event, ev.LeasesRead | ev.LeaseWritten | ev.LeaseRefused | ev.ApiFailed):
            self._account.api = not isinstance(event, ev.ApiFailed)
            self.chronicle.tally.lease(event)
        elif isinstance(event, ev.HeartbeatHeard):
            self.chronicle.tally.heard += 1
        self._events.append(event)
        self._run(now)

    def heard(self, data: bytes, source: IPAddress, *, now: float) -> None:
        """A datagram came."""
        if self.codec is None:
            return
        answer = self.codec.feed(data, source, now=now)
        self._edges.voice.send(answer.datagrams)
        for event in answer.events:
            self.happen(event, now=now)

    def turn(self, *, now: float) -> None:
        """Does whatever is due."""
        if self.word is not None and now >= self._again:
            self._again = FOREVER
            self.told(self.word, now=now)
        if self.engine is not None and now >= self.engine.next_wake():
            self.happen(ev.Tick(), now=now)
        for heard in self._surroundings.listen(self.word, now=now):
            self.happen(heard, now=now)
        self._see(now)
        if self.codec is not None and now >= self.codec.next_due():
            self._edges.voice.send(self.codec.due(now=now))
        self._edges.lan.turn(now=now)
        if self.handover is not None:
            for gateway, addresses in self.handover.turn(now=now):
                self.happen(ev.Prepared(gateway, addresses), now=now)
        self._surroundings.mind(now=now)
        self._check()

    def next_turn(self) -> float:
        """When to call `turn` again, unless something happens first."""
        return min(
            self.engine.next_wake() if self.engine is not None else FOREVER,
            FOREVER if (due := self._edges.segment.next_due()) is None else due,
            self.codec.next_due() if self.codec is not None else FOREVER,
            self._edges.lan.next_turn(),
            self.handover.next_due() if self.handover is not None else FOREVER,
            self.chronicle.troubles.next_due(),
            self._account.next_due(),
            self._again,
        )

    def inform(self) -> None:
        """Tells the hand-over what the agent says."""
        word = self.word
        if self.handover is None or word is None:
            return
        self.handover.know(
            Mesh(
                node=word.node,
                nodes={name: parse(address) for name, address in word.nodes.items()},
                indexes=word.indexes,
                ids={parse(address): id_ for address, id_ in word.ids.items()},
                members={group.gateway: frozenset(group.members) for group in word.groups},
            )
        )

    def underlay(self) -> IPAddress | None:
        """Where this node speaks from, as the agent sees it."""
        address = self.word.nodes.get(self.word.node) if self.word is not None else None
        return parse(address) if address else None

    def report(self, *, now: float) -> Report:
        """How things are, for the agent; while much changes, as they were a moment ago."""
        unfit = self._surroundings.unfit
        return self._account.report(self.word, self.engine, unfit=unfit, now=now)

    def numbers(self, *, now: float) -> Numbers:
        """What is counted, for the agent; as it was a moment ago."""
        return self._account.numbers(self.engine, self.codec, now=now)

    def _begin(self, node: str, gateways: Container[str], *, now: float) -> None:
        """This node is, or may become, a gateway node."""
        try:
            left = self._edges.gate.start()
        except GateRefused as error:
            log.error("addresses not gated, none is held", error=str(error))
            self._again = now + RETRY
            return
        # Nobody would keep alive, nor let go, what is of a gateway that is not this node's now.
        adopted = [one for one in left if one.gateway in gateways]
        for one in adopted:
            self.claims.take(node, one.gateway, (one.address,), epoch=one.epoch)
        self.engine = Engine(
            node,
            boot=self._identity.boot,
            now=now,
            settings=self._settings,
            adopted=adopted,
            epoch=max((one.epoch for one in left), default=0),
        )
        if adopted:
            self._tell(self.claims.own, now)
            log.info("addresses adopted", addresses=len(adopted))

    def _manage(self, groups: Mapping[str, frozenset[IPAddress]], *, now: float) -> None:
        try:
            for gateway, addresses in groups.items():
                self._edges.gate.manage(gateway, addresses)
            if not self._settled:
                self._edges.gate.settled()
                self._settled = True
        except GateRefused as error:
            log.error("addresses not gated", error=str(error))
            self._again = now + RETRY

    def _see(self, now: float) -> None:
        """The engine hears of uplinks that went down or came up."""
        if self.word is None or self.engine is None:
            return
        seen = self._surroundings.seen(self.word)
        if seen is not self._seen and seen != self._seen:
            self._events.extend(news(self._seen, seen))
            self._seen = seen
            self._run(now)

    def _run(self, now: float) -> None:
        while self._events:
            event = self._events.popleft()
            if self.engine is not None:
                self._act(self.engine.handle(event, now=now), now)

    def _act(self, actions: Iterable[act.Action], now: float) -> None:
        """In their order, but for the long work of claims, which comes behind the heartbeat.

        So all leases run before any of it, and the acknowledgements that they go on by are under
        way meanwhile.
        """
        claims: list[act.Claim] = []
        checks: list[act.CheckReturnPath] = []
        for action in actions:
            match action:
                case act.Claim():
                    if self._holds(action) and self.engine is not None:
                        self.claims.take(
                            self.engine.node, action.gateway, action.addresses, epoch=action.epoch
                        )
                        claims.append(action)
                case act.CheckReturnPath():
                    checks.append(action)
                case _:
                    self._do(action, now)
        if claims:
            self._claimed(claims, now)
        for check in checks:
            self._edges.segment.check(check)

    def _do(self, action: act.Action, now: float) -> None:
        edges = self._edges
        match action:
            case act.Send() | act.SendAck():
                if self.codec is not None:
                    edges.voice.send(self.codec.encode(action))
                if isinstance(action, act.Send):
                    self.chronicle.tally.sent += len(action.to)
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
            case act.Announce(address):
                self._edges.lan.announce(address)
            case act.Report():
                self.chronicle.reported(action, now=now)
            case act.ReadyToRestart(until):
                self.ready_to_restart = until

    def _prepare(self, prepare: act.Prepare, now: float) -> None:
        gateway, addresses = prepare.gateway, prepare.addresses
        self.chronicle.asked(addresses, now=now)
        if self.handover is None or self.codec is None:
            self._events.append(ev.Prepared(gateway, addresses))
            return
        self._edges.voice.send(self.codec.greet(now=now))
        until = now + self._settings.prepare
        self.handover.prepare(gateway, addresses, holder=prepare.holder, until=until, now=now)

    def _claimed(self, taken: Collection[act.Claim], now: float) -> None:
        """The kernel has taken these claims: all that follows from it."""
        if self.engine is None:
            return
        if self.handover is not None:  # before anybody sends anything here
            for claim in taken:
                self.handover.claimed(claim.addresses, came_from=claim.came_from, now=now)
        self._surroundings.claimed(self.word)
        self._edges.lan.turn(now=now)
        self._tell(chain.from_iterable(claim.addresses for claim in taken), now)
        peers = self.engine.peers
        for claim in taken:
            source = peers.by_node.get(claim.came_from)
            gone = source is not None and source.heard > NEVER and peers.silent(source, now=now)
            heard = source.heard if source is not None and gone else None
            self.chronicle.claimed(claim, heard=heard, now=now)

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
        epochs = [own.epoch for one in release.addresses if (own := self.claims.own.get(one))]
        self.claims.lose(release.addresses)
        self._surroundings.claimed(self.word)
        self._edges.lan.turn(now=now)
        self._tell((), now)
        if self.handover is not None:
            self.handover.released(
                release.addresses, to=release.to, pass_on=release.pass_on, now=now
            )
        self.chronicle.released(release, epochs=epochs, now=now)

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

    def _tell(self, addresses: Iterable[IPAddress], now: float) -> None:
        """All nodes, where their packets have to go now."""
        if self.codec is None:
            return
        fresh = {one: self.claims.own[one] for one in addresses if one in self.claims.own}
        self.codec.moved(self.claims.whole(), by_gateway(fresh), now=now)
        self._edges.voice.send(self.codec.due(now=now))

    def _forget(self, gateway: str) -> None:
        try:
            self._edges.gate.forget(gateway)
        except GateRefused as error:
            log.error("addresses still gated", gateway=gateway, error=str(error))
        self.chronicle.forget(gateway)

    def _check(self) -> None:
        if self.engine is None:
            return
        try:
            if self._edges.gate.check():
                log.warning("gate repaired: somebody had changed its tables")
        except GateRefused as error:
            log.error("gate not checked", error=str(error))
