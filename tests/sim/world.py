"""The virtual world: one clock, one queue, and what connects the nodes.

Links are ordered pairs. A heartbeat crosses the underlay, ARP the segment; a fault may cut either,
in either direction. Two hosts on the segment stand for all that ask for an address.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

HOSTS = ("host-0", "host-1")

Link = tuple[str, str]


@dataclass(slots=True)
class Net:
    """The network's state; delays in seconds.

    lag: seconds by which some links are later than others. isolated: the switch lets hosts and
    nodes talk, but no node to another: probes find nobody, and Leases and heartbeats have to do
    without. healed: when the segment last grew together.
    """

    underlay_cut: set[Link] = field(default_factory=set)
    segment_cut: set[Link] = field(default_factory=set)
    loss: float = 0.0
    duplication: float = 0.0
    delay: tuple[float, float] = (0.0003, 0.002)
    isolated: bool = False
    lag: dict[Link, float] = field(default_factory=dict)
    healed: float = float("-inf")


class World:
    """Time, the queue, the randomness of one schedule, and the network."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.net = Net()
        self.cordons: dict[str, int] = {}
        self.story: list[str] | None = None
        self._queue: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._sequence = 0

    def at(self, time: float, call: Callable[..., object], *args: Any) -> None:
        """Calls this at that time."""
        self._sequence += 1
        heapq.heappush(self._queue, (time, self._sequence, call, args))

    def run(self, until: float) -> None:
        """Plays everything up to that time."""
        queue = self._queue
        while queue and queue[0][0] <= until:
            self.now, _, call, args = heapq.heappop(queue)
            call(*args)
        self.now = until

    def tell(self, *words: object) -> None:
        """Adds a line to the story, if one is wanted."""
        if self.story is not None:
            self.story.append(f"{self.now:8.4f}  " + " ".join(map(str, words)))

    def transmit(self, link: Link, call: Callable[..., object], *args: Any) -> None:
        """Carries a datagram across the underlay: perhaps late, twice, out of order, or never."""
        net = self.net
        if link in net.underlay_cut:
            return
        if net.loss and self.random.random() < net.loss:
            return
        low, high = net.delay
        if net.lag and link in net.lag:
            low, high = low + net.lag[link] / 2, high + net.lag[link]
        self.at(self.now + low + (high - low) * self.random.random(), call, *args)
        if net.duplication and self.random.random() < net.duplication:
            self.at(self.now + low + 2 * high * self.random.random(), call, *args)

    def reaches(self, asker: str, owner: str) -> bool:
        """Whether an ARP request gets there and the answer back."""
        cut = self.net.segment_cut
        return (asker, owner) not in cut and (owner, asker) not in cut
