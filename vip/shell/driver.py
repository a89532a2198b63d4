"""Tells the engine what happens, has done what it decides: no loop, no clock, no sockets."""

from collections import deque
from collections.abc import Container, Mapping
from dataclasses import dataclass

import structlog

from outgate.api.view import IPAddress
from outgate.vip.engine import events as ev
from outgate.vip.engine.engine import Engine
from outgate.vip.engine.evidence import FOREVER
from outgate.vip.engine.settings import Settings
from outgate.vip.errors import PeerGone
from outgate.vip.gate.errors import GateRefused
from outgate.vip.peer.codec import PeerCodec
from outgate.vip.peer.words import MovedHeard
from outgate.vip.protocol import Numbers, Report, Word
from outgate.vip.shell.account import Account
from outgate.vip.shell.acting import Acting, Here
from outgate.vip.shell.chronicle import Chronicle
from outgate.vip.shell.claims import Claims
from outgate.vip.shell.edges import Edges
from outgate.vip.shell.handover import Mesh
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
    """One node's vip process without its sockets. For one thread; `now` is monotonic seconds.

    realtime: whether that runs in real time, for the agent to tell.
    """

    def __init__(self, edges: Edges, identity: Identity, *, settings: Settings) -> None:
        self._edges, self._identity, self._settings = edges, identity, settings
        self.realtime = False
        self.here = Here()
        self.claims = Claims()
        self.chronicle = Chronicle(wall=identity.wall)
        self._seen: Word | None = None
        """The word as the engine has heard it."""
        self._events: deque[ev.Event] = deque()
        self._account = Account(self.claims, edges.lan, self.chronicle)
        self._surroundings = Surroundings(edges, self.claims, self.chronicle)
        self._acting = Acting(
            self.here, edges, self._surroundings, self.claims, self.chronicle, settings=settings
        )
        self._settled = False
        self._again = FOREVER

    def told(self, word: Word, *, now: float) -> None:
        """The agent's word. Raises PeerGone if it is nonsense, and takes nothing of it."""
        if self.here.codec is not None and word.node != self.here.codec.node:
            raise PeerGone(f"word of node {word.node}, and this is {self.here.codec.node}")
        seen = self._surroundings.seen(word)
        events = list(news(self._seen if self.here.engine is not None else None, seen))
        groups = {group.gateway: addresses_of(group) for group in word.groups}
        nodes = {name: parse(address) for name, address in word.nodes.items()}
        used = frozenset(map(parse, word.ids))
        before, self.here.word, self._seen = self.here.word, word, seen
        if self.here.codec is None:
            self.here.codec = PeerCodec(word.node, boot=self._identity.boot)
        self.here.codec.know(nodes, now=now)
        # What is heard of an address before the agent knows it is kept: nobody says it again.
        self.claims.forget(frozenset(map(parse, before.ids if before else ())) - used)
        if self.here.engine is None and groups:
            self._begin(word.node, groups, now=now)
        if self.here.engine is not None:
            self._edges.leases.own({group.gateway: group.uid for group in word.groups})
            self._manage(groups, now=now)
        self._surroundings.claimed(self.here.word)
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
            if moved and self.here.handover is not None:
                self.here.handover.moved(event.moved.node, moved, now=now)
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
        if self.here.codec is None:
            return
        answer = self.here.codec.feed(data, source, now=now)
        self._edges.voice.send(answer.datagrams)
        for event in answer.events:
            self.happen(event, now=now)

    def turn(self, *, now: float) -> None:
        """Does whatever is due."""
        if self.here.word is not None and now >= self._again:
            self._again = FOREVER
            self.told(self.here.word, now=now)
        if self.here.engine is not None and now >= self.here.engine.next_wake():
            self.happen(ev.Tick(), now=now)
        for heard in self._surroundings.listen(self.here.word, now=now):
            self.happen(heard, now=now)
        self._see(now)
        if self.here.codec is not None and now >= self.here.codec.next_due():
            self._edges.voice.send(self.here.codec.due(now=now))
        self._edges.lan.turn(now=now)
        if self.here.handover is not None:
            for gateway, addresses in self.here.handover.turn(now=now):
                self.happen(ev.Prepared(gateway, addresses), now=now)
        self._surroundings.mind(now=now)
        self._check()

    def next_turn(self) -> float:
        """When to call `turn` again, unless something happens first."""
        return min(
            self.here.engine.next_wake() if self.here.engine is not None else FOREVER,
            FOREVER if (due := self._edges.segment.next_due()) is None else due,
            self.here.codec.next_due() if self.here.codec is not None else FOREVER,
            self._edges.lan.next_turn(),
            self.here.handover.next_due() if self.here.handover is not None else FOREVER,
            self.chronicle.troubles.next_due(),
            self._account.next_due(),
            self._again,
        )

    def inform(self) -> None:
        """Tells the hand-over what the agent says."""
        word = self.here.word
        if self.here.handover is None or word is None:
            return
        self.here.handover.know(
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
        word = self.here.word
        address = word.nodes.get(word.node) if word is not None else None
        return parse(address) if address else None

    def report(self, *, now: float) -> Report:
        """How things are, for the agent; while much changes, as they were a moment ago."""
        unfit = self._surroundings.unfit
        return self._account.report(self.here.word, self.here.engine, unfit=unfit, now=now)

    def numbers(self, *, now: float) -> Numbers:
        """What is counted, for the agent; as it was a moment ago."""
        here = self.here
        return self._account.numbers(here.engine, here.codec, realtime=self.realtime, now=now)

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
        self.here.engine = Engine(
            node,
            boot=self._identity.boot,
            now=now,
            settings=self._settings,
            adopted=adopted,
            epoch=max((one.epoch for one in left), default=0),
        )
        if adopted:
            self._acting.tell(self.claims.own, now=now)
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
        if self.here.word is None or self.here.engine is None:
            return
        seen = self._surroundings.seen(self.here.word)
        if seen is not self._seen and seen != self._seen:
            self._events.extend(news(self._seen, seen))
            self._seen = seen
            self._run(now)

    def _run(self, now: float) -> None:
        while self._events:
            event = self._events.popleft()
            engine = self.here.engine
            if engine is not None:
                actions = engine.handle(event, now=now)
                self._events += self._acting.carry_out(engine, actions, now=now)

    def _forget(self, gateway: str) -> None:
        try:
            self._edges.gate.forget(gateway)
        except GateRefused as error:
            log.error("addresses still gated", gateway=gateway, error=str(error))
        self.chronicle.forget(gateway)

    def _check(self) -> None:
        if self.here.engine is None:
            return
        try:
            if self._edges.gate.check():
                log.warning("gate repaired: somebody had changed its tables")
        except GateRefused as error:
            log.error("gate not checked", error=str(error))
