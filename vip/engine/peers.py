"""What this node has heard of the others, and what they have heard of it.

A link that carries one way only counts as cut: heartbeats of a peer who says that he does not hear
this node are read, but he is as silent as one who does not speak.

A peer's acknowledgement counts from when the acknowledged heartbeat was *sent*: whatever delay,
pause or reordering came between, the peer can't have called this node silent before that. A peer
that this node has called silent is not acknowledged for a while, for somebody may act on it.
"""

from collections import deque
from dataclasses import dataclass

from outgate.vip.engine.settings import Settings
from outgate.vip.engine.words import Ack, Heard, Hearing, Heartbeat

NEVER = float("-inf")
SILENT = (Hearing.WITHHOLDS, Hearing.UNHEARD)
REMEMBERED = 64
"""Own heartbeats whose sending time is known: 6 s of them; an older echo is no evidence."""


@dataclass(slots=True)
class Peer:
    """One other node. Times are ours, in seconds.

    silent_from: when it counts as silent, unless it is heard again. heard: when its last heartbeat
    came that counts; boot, counter: of that one. spoke, said: the same of its last one. echoed,
    echo: when we sent the newest heartbeat of ours that it had heard when it sent that, and its
    counter. granted: the same, of those acknowledged as evidence. objects: whether we were silent
    to it, in its last one. accused: when we last called it silent.
    """

    node: str
    silent_from: float
    boot: int = 0
    counter: int = 0
    heard: float = NEVER
    said: tuple[int, int] = (0, 0)
    spoke: float = NEVER
    echoed: float = NEVER
    echo: int = 0
    granted: float = NEVER
    objects: bool = False
    accused: float = NEVER
    word: Heartbeat | None = None


class Peers:
    """All other nodes. started: when this process did."""

    def __init__(self, *, node: str, boot: int, started: float, settings: Settings) -> None:
        self._node, self._boot, self._settings = node, boot, settings
        self.started = started
        self.by_node: dict[str, Peer] = {}
        self._sent: deque[float] = deque(maxlen=REMEMBERED)
        self.counter = 0

    def get(self, node: str) -> Peer:
        """The peer of that name, known from now on."""
        peer = self.by_node.get(node)
        if peer is None:
            peer = self.by_node[node] = Peer(node, self.started + self._settings.silence)
        return peer

    def hear(self, heartbeat: Heartbeat, *, now: float) -> Peer | None:
        """Takes a heartbeat; None if it is not newer than the last one of that node."""
        peer = self.get(heartbeat.node)
        said = (heartbeat.boot, heartbeat.counter)
        if said <= peer.said:
            return None
        peer.said, peer.spoke, peer.word = said, now, heartbeat
        mine = heartbeat.peers.get(self._node)
        peer.objects = (
            mine is not None and mine.hearing in SILENT and mine.age >= self._settings.silence
        )
        if not peer.objects or (mine is not None and mine.hearing is Hearing.UNHEARD):
            peer.heard, (peer.boot, peer.counter) = now, said
            peer.silent_from = now + self._settings.silence
        if mine is None or mine.boot != self._boot:
            return peer
        sent = self._sent_at(mine.counter)
        if sent > peer.echoed:
            peer.echoed, peer.echo = sent, mine.counter
        if mine.hearing is Hearing.ACKNOWLEDGES and sent > peer.granted:
            peer.granted = sent
        return peer

    def acknowledged(self, ack: Ack) -> float:
        """Takes an acknowledgement; when the heartbeat was sent that it is for, if it is news."""
        peer = self.by_node.get(ack.node)
        if peer is None or ack.boot != self._boot:
            return NEVER
        sent = self._sent_at(ack.counter)
        if sent <= peer.granted:
            return NEVER
        peer.granted = sent
        return sent

    def _sent_at(self, counter: int) -> float:
        """When our heartbeat of that counter was sent; `NEVER` if that is long ago."""
        back = self.counter - counter
        return self._sent[-1 - back] if 0 <= back < len(self._sent) else NEVER

    def speaks(self, peer: Peer, *, now: float) -> bool:
        """Whether the peer has said something of late, whether or not it hears us."""
        return now < peer.spoke + self._settings.silence

    def silent(self, peer: Peer, *, now: float) -> bool:
        """Whether the peer has not been heard for the misses, or not since our start."""
        return now >= peer.silent_from

    def say(self, *, now: float) -> dict[str, Heard]:
        """What our next heartbeat, sent now, says about the others."""
        self.counter += 1
        self._sent.append(now)
        return {node: self._hearing(peer, now) for node, peer in self.by_node.items()}

    def acknowledges(self, peer: Peer, *, now: float) -> bool:
        """Whether the heartbeat of the peer that came last, now, is acknowledged."""
        withhold = self._settings.withhold
        return (
            peer.said == (peer.boot, peer.counter)
            and now >= peer.accused + withhold
            and now >= self.started + withhold
        )

    def _hearing(self, peer: Peer, now: float) -> Heard:
        since = max(peer.heard, self.started)
        if now >= since + self._settings.silence:
            peer.accused = now
            hearing = Hearing.UNHEARD if self.speaks(peer, now=now) else Hearing.WITHHOLDS
        elif now < peer.accused + self._settings.withhold:
            hearing = Hearing.WITHHOLDS
        elif not peer.counter or now < self.started + self._settings.withhold:
            hearing = Hearing.NEW
        else:
            hearing = Hearing.ACKNOWLEDGES
        return Heard(peer.boot, peer.counter, now - since, hearing)
