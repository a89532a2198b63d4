"""What is known of one other node: how to reach it, and what of its words has come. Pure."""

from collections.abc import Iterable, Mapping

from outgate.api.view import IPAddress
from outgate.vip.engine.words import Heartbeat, Say
from outgate.vip.peer.bodies import HeartbeatBody, Kept, resolve
from outgate.vip.peer.parts import Assembly
from outgate.vip.peer.seal import identity
from outgate.vip.peer.window import Window

NEVER = float("-inf")


class Session:
    """One other node.

    address: its underlay address; None while it is in no mesh: its counters must not be forgotten
    within our boot, or what came before could come again. boot: the highest one of it that was
    seen, 0 if none. counter: of our last datagram to it. greeted: when it was last told our boot.
    """

    __slots__ = (
        "_assembly",
        "_heard",
        "_kept",
        "_numbers",
        "_says",
        "_waiting",
        "address",
        "boot",
        "counter",
        "greeted",
        "identity",
        "node",
        "window",
    )

    def __init__(self, node: str) -> None:
        self.node, self.identity = node, identity(node)
        self.address: IPAddress | None = None
        self.boot = self.counter = 0
        self.greeted = NEVER
        self.window = Window()
        self.clear()

    def clear(self) -> None:
        """Forgets what it said."""
        self._assembly = Assembly()
        self._kept: dict[int, Kept] = {}
        self._heard = 0
        self._waiting: HeartbeatBody | None = None
        self._numbers: tuple[int, ...] | None = None
        self._says: Mapping[str, Say] = {}

    def reboot(self, boot: int) -> None:
        """The node has another boot: whatever the former one said is void."""
        self.boot = boot
        self.window = Window()
        self.clear()

    def part(self, number: int, part: int, parts: int, data: bytes) -> bytes | None:
        """Takes a part of a message; the message, if it is whole now. Raises ValueError."""
        return self._assembly.add(number, part, parts, data)

    def keep(self, number: int, kept: Kept) -> Heartbeat | None:
        """Takes what heartbeats refer to; the one that waited for it, if it has all now."""
        self._kept[number] = kept
        if self._waiting is None or self._lacks(self._waiting):
            return None
        return self._believe(self._waiting)

    def has(self, number: int) -> bool:
        """Whether the message of this number came."""
        return number in self._kept

    def hear(self, body: HeartbeatBody) -> Heartbeat | None:
        """Takes a heartbeat; the whole of it, if it is newer than the last, and has all it needs.

        One that lacks something waits for it, unless a newer one comes first.
        """
        waiting = 0 if self._waiting is None else self._waiting.counter
        if body.counter <= max(self._heard, waiting):
            return None
        if self._lacks(body):
            self._waiting = body
            return None
        return self._believe(body)

    def missing(self) -> dict[int, tuple[int, ...]]:
        """What the waiting heartbeat lacks: number → which parts, () for all."""
        if self._waiting is None:
            return {}
        return {number: self._assembly.missing(number) for number in self._lacks(self._waiting)}

    def _lacks(self, body: HeartbeatBody) -> list[int]:
        return [number for number in (body.names, *body.says) if number not in self._kept]

    def _believe(self, body: HeartbeatBody) -> Heartbeat:
        """Raises one of MALFORMED if the numbers stand for what they should not."""
        self._heard, self._waiting = body.counter, None
        names = self._kept[body.names]
        if not isinstance(names, tuple):
            raise ValueError(f"message {body.names} is no list of names")
        if (body.names, *body.says) != self._numbers:
            self._says = dict(self._gateways(body.says))
            self._numbers = (body.names, *body.says)
            self._forget(self._numbers)
        return resolve(body, node=self.node, boot=self.boot, names=names, says=self._says)

    def _gateways(self, numbers: Iterable[int]) -> Iterable[tuple[str, Say]]:
        for number in numbers:
            say = self._kept[number]
            if not isinstance(say, Say):
                raise ValueError(f"message {number} is no word on a gateway")
            yield say.gateway, say

    def _forget(self, used: tuple[int, ...]) -> None:
        """What was replaced; but what came ahead of its heartbeat stays."""
        newest = max(used)
        kept = {n: what for n, what in self._kept.items() if n in used or n > newest}
        self._assembly.forget(self._kept.keys() - kept.keys())
        self._kept = kept
