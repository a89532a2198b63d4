"""What can be seen from outside, now: who answers for an address, and whether it serves."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.failover import watch
from bench.failover.contestant import Contestant, arp
from bench.failover.listener import Listener
from bench.failover.watch import Span, Track
from outgate.lab import Lab

STEADY = 0.5
"""Seconds of nothing but answers by which a state is known to last: five heartbeats."""

ECHO = 0.2
"""Seconds after which a probe of the data path counts as lost, if nothing has come."""


@dataclass(frozen=True, slots=True)
class Tracks:
    """What the observer says of one contestant."""

    arp: Track
    data: Track


class Sight:
    """What an observer sees of contestants in a lab."""

    def __init__(self, lab: Lab, listener: Listener) -> None:
        self._listener = listener
        self._nodes = {int(host.mac.replace(":", ""), 16): host.name for host in lab.topology.nodes}

    def tracks(self, one: Contestant) -> Tracks:
        """What is known of a contestant so far."""
        tracks = self._listener.tracks
        return Tracks(tracks[f"{one.name}-arp"], tracks[one.name])

    def holder(self, one: Contestant, *, sole: bool = True) -> str:
        """The node that answers for the address, steadily; "" if none does, or if not only one."""
        self._listener.check()
        last = self._last(self.tracks(one).arp)
        whose = {answer.who for answer in last.answers}
        if watch.outages(last, end=0) or not whose or (sole and len(whose) > 1):
            return ""
        return self._nodes.get(min(whose), "")

    def serves(self, one: Contestant) -> bool:
        """Whether its data path has lost nothing lately."""
        last = self._last(self.tracks(one).data)
        return bool(last.sent) and not watch.outages(last, end=0)

    @staticmethod
    def _last(track: Track) -> Track:
        now = time.monotonic() - ECHO
        return track.during(Span(now - STEADY, now))


@contextmanager
def watched(lab: Lab, contestants: Sequence[Contestant]) -> Iterator[Sight]:
    """Start the contestants and the observer."""
    with ExitStack() as stack:
        for one in contestants:
            stack.callback(one.stop)
            one.start()
        data = {one.name: one.data_path() for one in contestants}
        asked = {f"{one.name}-arp": arp(lab, one.address) for one in contestants}
        listener = stack.enter_context(Listener({**data, **asked}))
        yield Sight(lab, listener)
