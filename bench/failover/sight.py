"""What can be seen from outside, now: who answers for an address, and whether it serves."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.failover import watch
from bench.failover.contestant import Address, Contestant, arp, series
from bench.failover.listener import Listener
from bench.failover.watch import Span, Track
from outgate.lab import Lab

STEADY = 0.5
"""Seconds of nothing but answers by which a state is known to last: five heartbeats."""

ECHO = 0.2
"""Seconds after which a probe of the data path counts as lost, if nothing has come."""


@dataclass(frozen=True, slots=True)
class Tracks:
    """What the observer says of one address. arp: who has it, in either family."""

    arp: Track
    data: Track


class Sight:
    """What an observer sees of contestants in a lab."""

    def __init__(self, lab: Lab, listener: Listener) -> None:
        self._listener = listener
        self._nodes = {int(host.mac.replace(":", ""), 16): host.name for host in lab.topology.nodes}

    def tracks(self, one: Contestant) -> Mapping[Address, Tracks]:
        """What is known of a contestant so far, by its address."""
        tracks = self._listener.tracks
        names = {address: series(one, address) for address in one.addresses}
        return {a: Tracks(tracks[f"{name}-arp"], tracks[name]) for a, name in names.items()}

    def holder(self, one: Contestant, *, sole: bool = True) -> str:
        """The node that answers for its addresses, steadily; "" if none does, or if not only one.

        sole: also if another answers for one of them besides.
        """
        self._listener.check()
        nodes = {self._holder(tracks.arp, sole=sole) for tracks in self.tracks(one).values()}
        return nodes.pop() if len(nodes) == 1 else ""

    def _holder(self, track: Track, *, sole: bool) -> str:
        last = self._last(track)
        whose = {answer.who for answer in last.answers}
        if watch.outages(last, end=0) or not whose or (sole and len(whose) > 1):
            return ""
        return self._nodes.get(min(whose), "")

    def serves(self, one: Contestant) -> bool:
        """Whether its data path has lost nothing lately, by any of its addresses."""
        lasts = [self._last(tracks.data) for tracks in self.tracks(one).values()]
        return all(last.sent and not watch.outages(last, end=0) for last in lasts)

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
        pairs = [(one, address) for one in contestants for address in one.addresses]
        data = {series(one, address): one.data_path(address) for one, address in pairs}
        asked = {f"{series(one, address)}-arp": arp(lab, address) for one, address in pairs}
        listener = stack.enter_context(Listener({**data, **asked}))
        yield Sight(lab, listener)
