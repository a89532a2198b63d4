"""Who has yet to learn what moved here: said again until acknowledged, then now and then. Pure.

News go to all nodes at once, and again, with growing gaps, to those that haven't acknowledged;
not for ever, but anew when the network seems to have healed. Each `REFRESH`, round the ring, each
node is told all that is held here, unless it has acknowledged just that: then a hello shows whether
it has restarted since, and forgotten.
"""

from collections import deque
from collections.abc import Iterable

from outgate.vip.peer.message import Message

GAPS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Seconds to the next attempt: a lost datagram costs 20 ms, a node that is away 8 datagrams."""
REFRESH = 30.0
"""Seconds in which each node is visited once."""
BURST = 64
"""Datagrams' addressees at a time, and `PAUSE` until the next: 0.6 ms of work, so that thousands
of nodes hold up no heartbeat."""
PAUSE = 0.001

FOREVER = float("inf")
NEVER = float("-inf")


class _Round:
    """One message on its way to some nodes.

    waiting: who hasn't acknowledged. urgent: those of them who can take it now, and could not
    before. attempts: how many are through; `due`: when the next begins.
    """

    def __init__(self, message: Message, nodes: Iterable[str], now: float) -> None:
        self.message = message
        self.waiting = set(nodes)
        self.urgent: deque[str] = deque()
        self._queue = deque(sorted(self.waiting))
        self._attempts = 0
        self._due = now

    @property
    def due(self) -> float:
        """When somebody is to be told."""
        return NEVER if self.urgent else self._due

    @property
    def over(self) -> bool:
        """Whether there is nobody left to tell, or it was tried often enough."""
        return not self.waiting or self._attempts > len(GAPS)

    def next(self, now: float) -> str | None:
        """Who is to be told now; None when this attempt is through."""
        while self.urgent:
            if (node := self.urgent.popleft()) in self.waiting:
                return node
        if self._due > now:
            return None
        while self._queue:
            if (node := self._queue.popleft()) in self.waiting:
                return node
        self._due = now + (GAPS[self._attempts] if self._attempts < len(GAPS) else 0.0)
        self._attempts += 1
        self._queue.extend(sorted(self.waiting))
        return None

    def again(self, now: float) -> None:
        """As if it had just begun, to those that wait."""
        self._attempts, self._due = 0, now
        self._queue = deque(sorted(self.waiting))


class Moves:
    """What this node has to tell all others of what it holds."""

    def __init__(self) -> None:
        self._nodes: frozenset[str] = frozenset()
        self._ring: deque[str] = deque()
        self._rounds: list[_Round] = []
        self._whole: Message | None = None
        self._knows: dict[str, int] = {}
        self._missed: set[str] = set()
        self._visit = FOREVER
        self._pause = NEVER

    def know(self, nodes: Iterable[str], *, now: float) -> None:
        """All other nodes of the mesh. Who is new is told everything soon."""
        nodes = frozenset(nodes)
        new = nodes - self._nodes
        self._missed &= nodes
        for node in self._nodes - nodes:
            self._knows.pop(node, None)
            for turn in self._rounds:
                turn.waiting.discard(node)
        self._nodes = nodes
        self._ring = deque([*sorted(new), *(node for node in self._ring if node in nodes)])
        if self._whole is not None and new:
            self._rounds.append(_Round(self._whole, new, now))

    def change(self, whole: Message | None, news: Message | None, *, now: float) -> None:
        """whole: all that is held here now, None if nothing. news: what has just come here."""
        if news is not None:
            self._rounds.append(_Round(news, self._nodes, now))
        self._whole = whole
        if whole is None:
            self._visit = FOREVER
        elif self._visit == FOREVER:
            self._visit = now + self._step()

    def acknowledged(self, node: str, number: int) -> None:
        """The node has this message."""
        for turn in self._rounds:
            if turn.message.number == number:
                turn.waiting.discard(node)
        if self._whole is not None and self._whole.number == number:
            self._knows[node] = number
            self._missed.discard(node)

    def again(self, *, now: float) -> None:
        """Who could not be told may be within reach now."""
        for turn in self._rounds:
            turn.again(now)
        if self._whole is not None and self._missed:
            self._rounds.append(_Round(self._whole, self._missed, now))
            self._missed.clear()

    def restarted(self, node: str, *, now: float) -> None:
        """The node's process is another than was thought: it may have forgotten everything."""
        if node not in self._nodes:
            return
        self._knows.pop(node, None)
        for turn in self._rounds:
            if node in turn.waiting:
                turn.urgent.append(node)
        if self._whole is not None and not self._tells(self._whole.number, node):
            self._rounds.append(_Round(self._whole, (node,), now))

    def due(self, *, now: float) -> list[tuple[str, Message | None]]:
        """Whom to tell what now; None: only a hello. Ask again at `next_due`."""
        found: list[tuple[str, Message | None]] = []
        if now < self._pause:
            return found
        for turn in self._rounds:
            while len(found) < BURST and (node := turn.next(now)) is not None:
                found.append((node, turn.message))
        for turn in self._rounds:
            if turn.over:
                self._missed |= turn.waiting
        self._rounds = [turn for turn in self._rounds if not turn.over]
        while len(found) < BURST and self._visit <= now and self._ring:
            self._visit = max(self._visit + self._step(), now - REFRESH)
            node = self._ring[0]
            self._ring.rotate(-1)
            if self._whole is not None and self._knows.get(node) == self._whole.number:
                found.append((node, None))
            elif self._whole is not None and not self._tells(self._whole.number, node):
                self._rounds.append(_Round(self._whole, (node,), now))
        if len(found) == BURST:
            self._pause = now + PAUSE
        return found

    def next_due(self) -> float:
        """When there is something to say; `FOREVER` if never."""
        first = self._visit if self._ring else FOREVER
        for turn in self._rounds:
            first = min(first, turn.due)
        return max(first, self._pause)

    def _step(self) -> float:
        return REFRESH / max(len(self._ring), 1)

    def _tells(self, number: int, node: str) -> bool:
        return any(turn.message.number == number and node in turn.waiting for turn in self._rounds)
