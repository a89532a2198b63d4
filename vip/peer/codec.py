"""Turns what the engine wants said into datagrams, and datagrams into what it hears. No I/O.

Each thing that heartbeats refer to goes ahead of the first one that does. Who misses it says so
when the heartbeat comes (`NEED`), and again at each one, until he has it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple, TypeVar

from outgate.api.view import IPAddress
from outgate.vip.engine.actions import Send, SendAck
from outgate.vip.engine.events import AckHeard, HeartbeatHeard
from outgate.vip.engine.words import Heartbeat, Say
from outgate.vip.peer import bodies
from outgate.vip.peer.errors import Refusal, Refused
from outgate.vip.peer.keys import NO_KEYS, Keys
from outgate.vip.peer.message import EMPTY, Message
from outgate.vip.peer.moves import Moves
from outgate.vip.peer.seal import (
    HEADER,
    MAGIC,
    Header,
    Kind,
    identity,
    prove,
    read,
    seal,
)
from outgate.vip.peer.session import Session
from outgate.vip.peer.words import Claims, Datagram, MovedHeard

T = TypeVar("T")

GREETING_GAP = 0.02
"""Least seconds between two hellos to one node that doesn't know our boot."""

Heard = HeartbeatHeard | AckHeard | MovedHeard


class Answer(NamedTuple):
    """What a datagram told, and what is to be said at once because of it."""

    events: tuple[Heard, ...] = ()
    datagrams: tuple[Datagram, ...] = ()


NOTHING = Answer()


class PeerCodec:
    """This node's words with all others.

    boot: of this process; later ones have greater numbers, from 1. keys: may be replaced at any
    time. refused: how many datagrams were not believed, by reason. unsent: how many messages had
    no address, or no key.
    """

    def __init__(self, node: str, *, boot: int, keys: Keys = NO_KEYS) -> None:
        self.node, self.boot, self.keys = node, boot, keys
        self.refused: Counter[Refusal] = Counter()
        self.unsent = 0
        self._identity = identity(node)
        self._sessions: dict[str, Session] = {}
        self._by_address: dict[IPAddress, Session] = {}
        self._number = 0
        self._names: tuple[tuple[str, ...], Message] = ((), EMPTY)
        self._said: dict[str, tuple[Say, Message]] = {}
        self._kept: dict[int, Message] = {}
        self._moves = Moves()

    def know(self, nodes: Mapping[str, IPAddress], *, now: float) -> None:
        """The mesh, as the agent sees it: name → underlay address. Nobody else is heard."""
        others = {node: address for node, address in nodes.items() if node != self.node}
        for node, session in self._sessions.items():
            if session.address is not None and node not in others:
                session.address = None
                session.clear()
        for node, address in others.items():
            if node not in self._sessions:
                self._sessions[node] = Session(node)
            self._sessions[node].address = address
        self._by_address = {address: self._sessions[node] for node, address in others.items()}
        self._moves.know(others, now=now)

    def encode(self, action: Send | SendAck) -> list[Datagram]:
        """What the engine wants said."""
        if isinstance(action, SendAck):
            ack = Message(0, partial(bodies.encode_ack, action.ack))
            return list(self._to((action.to,), Kind.ACK, ack))
        sent = [
            datagram
            for message in self._refresh(action.heartbeat)
            for datagram in self._to(action.to, Kind.PART, message)
        ]
        sent += self._to(action.to, Kind.HEARTBEAT, self._heartbeat(action.heartbeat))
        return sent

    def moved(self, whole: Claims, news: Claims, *, now: float) -> None:
        """Tells all nodes. whole: all that this node holds; news: what it holds since just now.

        `due` says it. Both are read later: who changes them changes what is said.
        """
        all_of_it = self._message(bodies.encode_moved, whole) if whole else None
        if news == whole:
            recent = all_of_it
        else:
            recent = self._message(bodies.encode_moved, news) if news else None
        self._moves.change(all_of_it, recent, now=now)

    def due(self, *, now: float) -> list[Datagram]:
        """What has to be said (again) now of what moved. Ask at `next_due`."""
        sent: list[Datagram] = []
        for node, message in self._moves.due(now=now):
            session = self._sessions[node]
            if message is None or not session.boot:  # who knows no boot of ours won't believe it
                sent += self._hello(session, now)
            else:
                sent += self._to((node,), Kind.MOVED, message)
        return sent

    def again(self, *, now: float) -> None:
        """Who could not be told of what moved may be within reach now. `due` says it."""
        self._moves.again(now=now)

    def boot_of(self, node: str) -> int:
        """The boot of a node that has said hello to this one; 0 of others."""
        session = self._sessions.get(node)
        return session.boot if session is not None and session.address is not None else 0

    def greet(self, *, now: float) -> list[Datagram]:
        """A hello to all whose boot is not known yet."""
        return [
            datagram
            for session in self._sessions.values()
            if session.address is not None and not session.boot
            for datagram in self._hello(session, now)
        ]

    def next_due(self) -> float:
        """When `due` has something; infinite if it never has."""
        return self._moves.next_due()

    def feed(self, data: bytes, source: IPAddress, *, now: float) -> Answer:
        """Takes a datagram from that address."""
        try:
            session = self._by_address.get(source)
            if session is None:
                raise Refused(Refusal.STRANGER)
            header = read(data)
            body = self._proven(data, header, session)
        except Refused as refused:
            self.refused[refused.why] += 1
            return NOTHING
        restarted = header.boot > session.boot
        if restarted:
            session.reboot(header.boot)
            self._moves.restarted(session.node, now=now)
        if header.echo != self.boot:
            self.refused[Refusal.UNPROVEN] += 1
            return Answer((), tuple(self._hello(session, now)))
        if not session.window.take(header.counter):
            self.refused[Refusal.REPLAYED] += 1
            return NOTHING
        try:
            return self._believe(session, header, body)
        except bodies.MALFORMED:
            self.refused[Refusal.MALFORMED] += 1
            return NOTHING

    def _proven(self, data: bytes, header: Header, session: Session) -> bytes:
        """The body, if that node said it, to us. Raises Refused."""
        if header.sender != session.identity:
            raise Refused(Refusal.SENDER)
        if header.receiver != self._identity:
            raise Refused(Refusal.RECEIVER)
        body = prove(data, header, self.keys)
        if header.boot < session.boot:
            raise Refused(Refusal.OLD_BOOT)
        return body

    def _believe(self, session: Session, header: Header, data: bytes) -> Answer:
        """Acts on what is proven. Raises one of MALFORMED."""
        kind, answer = header.kind, NOTHING
        if kind == Kind.HEARTBEAT:
            answer = self._hear(session, header, data)
        elif kind == Kind.ACK:
            answer = Answer((AckHeard(bodies.decode_ack(data, node=session.node)),))
        elif kind == Kind.PART:
            answer = self._keep(session, header, data)
        elif kind == Kind.NEED:
            answer = self._give(session, header, data)
        elif kind == Kind.MOVED:
            answer = self._learn(session, header, data)
        elif kind == Kind.MOVED_ACK:
            self._moves.acknowledged(session.node, header.number)
        elif kind != Kind.HELLO:
            raise ValueError(f"a message of kind {kind}")
        return answer

    def _keep(self, session: Session, header: Header, data: bytes) -> Answer:
        if session.has(header.number):
            return NOTHING
        whole = session.part(header.number, header.part, header.parts, data)
        if whole is None:
            return NOTHING
        return _heard(session.keep(header.number, bodies.decode_kept(whole)))

    def _hear(self, session: Session, header: Header, data: bytes) -> Answer:
        whole = session.part(header.number, header.part, header.parts, data)
        if whole is None:
            return NOTHING
        heartbeat = session.hear(bodies.decode_heartbeat(whole))
        if heartbeat is not None:
            return _heard(heartbeat)
        missing = session.missing()
        if not missing:
            return NOTHING
        need = self._message(bodies.encode_need, missing)
        return Answer((), tuple(self._to((session.node,), Kind.NEED, need)))

    def _learn(self, session: Session, header: Header, data: bytes) -> Answer:
        whole = session.part(header.number, header.part, header.parts, data)
        if whole is None:
            return NOTHING
        moved = MovedHeard(bodies.decode_moved(whole, node=session.node))
        known = Message(header.number, bytes)
        return Answer((moved,), tuple(self._to((session.node,), Kind.MOVED_ACK, known)))

    def _give(self, session: Session, header: Header, data: bytes) -> Answer:
        """What the other misses; what it asks for and is no longer said, it won't need."""
        whole = session.part(header.number, header.part, header.parts, data)
        if whole is None:
            return NOTHING
        given: list[Datagram] = []
        for number, parts in bodies.decode_need(whole).items():
            if (message := self._kept.get(number)) is not None:
                given += self._to((session.node,), Kind.PART, message, only=parts)
        return Answer((), tuple(given))

    def _hello(self, session: Session, now: float) -> list[Datagram]:
        if now < session.greeted + GREETING_GAP:
            return []
        session.greeted = now
        return list(self._to((session.node,), Kind.HELLO, EMPTY))

    def _heartbeat(self, heartbeat: Heartbeat) -> Message:
        table, names = self._names
        says = tuple(self._said[gateway][1].number for gateway in heartbeat.says)
        encode = partial(bodies.encode_heartbeat, table=table, names=names.number, says=says)
        return self._message(encode, heartbeat)

    def _refresh(self, heartbeat: Heartbeat) -> list[Message]:
        """Makes messages of what the heartbeat refers to, and is not said yet; those."""
        fresh = []
        names = bodies.names_of(heartbeat)
        if names != self._names[0] or not self._names[1].number:
            self._names = names, self._message(bodies.encode_kept, names)
            fresh.append(self._names[1])
        for gateway, say in heartbeat.says.items():
            said = self._said.get(gateway)
            if said is None or said[0] is not say:
                self._said[gateway] = say, self._message(bodies.encode_kept, say)
                fresh.append(self._said[gateway][1])
        if fresh or len(self._said) != len(heartbeat.says):
            self._said = {gateway: self._said[gateway] for gateway in heartbeat.says}
            all_said = (self._names[1], *(message for _, message in self._said.values()))
            self._kept = {message.number: message for message in all_said}
        return fresh

    def _message(self, encode: Callable[[T], bytes], what: T) -> Message:
        self._number += 1
        return Message(self._number, partial(encode, what))

    def _to(
        self, nodes: Iterable[str], kind: Kind, message: Message, *, only: tuple[int, ...] = ()
    ) -> Iterator[Datagram]:
        """The message, or only some of its parts, sealed for each of the nodes."""
        active, parts = self.keys.active, len(message.pieces)
        for node in nodes:
            session = self._sessions.get(node)
            if session is None or session.address is None or not active:
                self.unsent += 1
                continue
            if kind == Kind.PART and not session.boot:
                continue  # not believed before it has said hello; then it will ask
            for part in only or range(parts):
                if part < parts:
                    yield Datagram(session.address, self._seal(session, kind, message, part))

    def _seal(self, session: Session, kind: Kind, message: Message, part: int) -> bytes:
        session.counter += 1
        active = self.keys.active
        header = HEADER.pack(
            MAGIC,
            kind,
            len(active),
            part,
            len(message.pieces),
            self.boot,
            session.counter,
            session.boot,
            message.number,
            self._identity,
            session.identity,
        )
        return seal(header, message.pieces[part], active)


def _heard(heartbeat: Heartbeat | None) -> Answer:
    return NOTHING if heartbeat is None else Answer((HeartbeatHeard(heartbeat),))
