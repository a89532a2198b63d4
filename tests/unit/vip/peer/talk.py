"""Nodes that talk over a wire in memory, for tests of the codec."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address

from outgate.api.view import IPAddress
from outgate.vip.engine.actions import Send, SendAck
from outgate.vip.engine.events import AckHeard, HeartbeatHeard
from outgate.vip.engine.words import Claim, Heard, Hearing, Heartbeat, OutSaid, Say
from outgate.vip.peer.codec import PeerCodec
from outgate.vip.peer.keys import Keys
from outgate.vip.peer.words import Datagram, MovedHeard

KEYS = Keys({"one": b"k" * 32}, ("one",))


def address(number: int) -> IPAddress:
    return ip_address(f"192.0.2.{number}")


def addresses(first: int, count: int) -> frozenset[IPAddress]:
    return frozenset(ip_address(0xCB007100 + first + i) for i in range(count))


def say(gateway: str = "g", serial: int = 1, *, holds: int = 2, epoch: int = 1) -> Say:
    claims = (Claim(epoch, addresses(0, holds)),) if holds else ()
    wants = addresses(holds, 1)
    return Say(
        gateway, serial, epoch, True, True, False, claims, wants, frozenset(), frozenset({"z"})
    )


def heartbeat(
    node: str,
    counter: int,
    *,
    boot: int = 1,
    peers: Iterable[str] = (),
    says: Iterable[Say] = (),
) -> Heartbeat:
    heard = {peer: Heard(7, counter, 0.05, Hearing.ACKNOWLEDGES) for peer in peers}
    said = {one.gateway: one for one in says}
    outs = {gateway: {"z": OutSaid(3, 1.5)} for gateway in said}
    return Heartbeat(node, boot, counter, True, 0.25, outs, heard, said)


class Talk:
    """Codecs by node, and what each has heard. lost: which datagrams don't arrive.

    wire: all that was ever sent: from, to, bytes.
    """

    def __init__(self, *nodes: str, keys: Keys = KEYS) -> None:
        self.mesh = {node: address(number) for number, node in enumerate(nodes, start=1)}
        self.names = {where: node for node, where in self.mesh.items()}
        self.now = 0.0
        self.codecs: dict[str, PeerCodec] = {}
        self.heard: dict[str, list[HeartbeatHeard | AckHeard | MovedHeard]] = {}
        self.wire: list[tuple[str, str, bytes]] = []
        self.lost: Callable[[str, str, bytes], bool] = lambda _from, _to, _data: False
        for node in nodes:
            self.start(node, boot=1, keys=keys)

    def start(self, node: str, *, boot: int, keys: Keys = KEYS) -> PeerCodec:
        codec = self.codecs[node] = PeerCodec(node, boot=boot, keys=keys)
        codec.know(self.mesh, now=self.now)
        self.heard[node] = []
        return codec

    def greet(self) -> None:
        """All learn each other's boots."""
        for node in self.codecs:
            self.say(heartbeat(node, 0))
        self.later(1.0)

    def later(self, seconds: float) -> None:
        self.now += seconds

    def say(self, word: Heartbeat) -> None:
        others = tuple(node for node in self.codecs if node != word.node)
        self.carry(word.node, self.codecs[word.node].encode(Send(others, word)))

    def ack(self, node: str, action: SendAck) -> None:
        self.carry(node, self.codecs[node].encode(action))

    def carry(self, node: str, datagrams: Iterable[Datagram]) -> None:
        """Brings datagrams of the node to their receivers, and what those answer."""
        under_way = deque((node, datagram) for datagram in datagrams)
        while under_way:
            sender, datagram = under_way.popleft()
            receiver = self.names[datagram.to]
            self.wire.append((sender, receiver, datagram.data))
            if not self.lost(sender, receiver, datagram.data):
                answers = self.bring(sender, receiver, datagram.data)
                under_way.extend((receiver, answer) for answer in answers)

    def bring(self, sender: str, receiver: str, data: bytes) -> tuple[Datagram, ...]:
        answer = self.codecs[receiver].feed(data, self.mesh[sender], now=self.now)
        self.heard[receiver] += answer.events
        return answer.datagrams

    def due(self, seconds: float) -> None:
        """Says what is due of moves, at its time, for so long."""
        until = self.now + seconds
        while True:
            times = {node: codec.next_due() for node, codec in self.codecs.items()}
            node, first = min(times.items(), key=lambda one: one[1])
            if first > until:
                break
            self.now = max(self.now, first)
            self.carry(node, self.codecs[node].due(now=self.now))
        self.now = until

    def heartbeats(self, node: str) -> list[Heartbeat]:
        return [e.heartbeat for e in self.heard[node] if isinstance(e, HeartbeatHeard)]

    def moves(self, node: str) -> list[Mapping[str, tuple[Claim, ...]]]:
        return [e.moved.claims for e in self.heard[node] if isinstance(e, MovedHeard)]
