"""Asking the segment who answers for addresses: a sans-I/O machine, the engine's `Probe` in.

It says which addresses to ask for and when, takes what was heard, and gives the verdicts. It builds
no frame and owns no socket. Nobody is said to have been silent who has not been asked: a process
that was stopped meanwhile, or a link that takes no frame, makes the verdict later, or another.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from outgate.api.view import IPAddress
from outgate.vip.engine.actions import Probe
from outgate.vip.engine.events import Probed
from outgate.vip.segment.spoken import Spoken, mac_text

STEP = 0.002
"""Seconds between two batches of frames: waking for each frame would cost more than sending it."""

BURST = 256
"""Most frames in a batch, which only a late loop needs: well within a link's queue (1,000) and a
listener's (8 MB, 10,000 frames). In time, 1,000 addresses asked three times in 75 ms are 80 a
batch. Spacing them out to 2,000 a second would outlast the 150 ms after which the engine believes
no verdict."""

UNASKED = ""
"""Instead of a MAC: nobody can say, since the link took none of the probes."""


@dataclass(slots=True)
class _Running:
    probe: Probe
    began: float
    addresses: tuple[IPAddress, ...]
    keys: dict[bytes, IPAddress]
    sent: int = 0
    last: float = float("-inf")
    asked: set[IPAddress] = field(default_factory=set)
    answered: dict[IPAddress, str] = field(default_factory=dict)

    @property
    def gap(self) -> float:
        """From one probe for an address to its next, and from the last one to the verdict."""
        return self.probe.wait / (self.probe.count + 1)

    @property
    def total(self) -> int:
        return self.probe.count * len(self.addresses)

    def when(self, number: int) -> float:
        """When the frame of this number is due: evenly over the gaps."""
        return self.began + self.gap * number / len(self.addresses)

    def next_due(self) -> float:
        if self.sent < self.total:
            return max(self.when(self.sent), self.last + STEP)
        return self.ends()

    def ends(self) -> float:
        """When the verdict is due, once all is sent."""
        return max(self.began + self.probe.wait, self.last + self.gap)


class Prober:
    """The probes that are running. One for a process."""

    def __init__(self) -> None:
        self._running: dict[int, _Running] = {}

    def ask(self, probe: Probe, *, now: float) -> None:
        """Begins a probe. Of `count` probes for an address, the i-th (from 0) is due at
        wait * i / (count + 1), and a share of the gap later, for each address another."""
        addresses = tuple(sorted(probe.addresses, key=lambda a: (a.version, int(a))))
        keys = {address.packed: address for address in addresses}
        self._running[probe.probe] = _Running(probe, now, addresses, keys)

    def keys(self) -> Iterator[bytes]:
        """The addresses that are being asked for, as bytes."""
        for running in self._running.values():
            yield from running.keys

    def due(self, *, now: float) -> tuple[IPAddress, ...]:
        """The addresses to ask for now; who has been answered for is not asked for again."""
        return tuple(address for one in self._running.values() for address in _batch(one, now))

    def sent(self, addresses: Iterable[IPAddress]) -> None:
        """Takes that the link took the frames that ask for these."""
        addresses = tuple(addresses)
        for running in self._running.values():
            running.asked.update(a for a in addresses if a.packed in running.keys)

    def hear(self, spoken: Spoken) -> bool:
        """Whether this is an answer. Only others' words: the caller knows the node's MACs."""
        found = False
        for running in self._running.values():
            address = running.keys.get(spoken.address)
            if address is not None and (running.probe.heeds or not spoken.probing):
                running.answered.setdefault(address, mac_text(spoken.mac))
                found = True
        return found

    def verdicts(self, *, now: float) -> tuple[tuple[Probe, Probed], ...]:
        """The probes that have ended, once each. Ask after all that came has been heard."""
        ended = [
            one for one in self._running.values() if one.sent == one.total and one.ends() <= now
        ]
        for one in ended:
            del self._running[one.probe.probe]
        return tuple((one.probe, Probed(one.probe.probe, _answers(one))) for one in ended)

    def next_due(self) -> float | None:
        """When there is something to send or to say; None if no probe is running."""
        return min((one.next_due() for one in self._running.values()), default=None)


def _batch(running: _Running, now: float) -> Iterator[IPAddress]:
    if running.sent == running.total or now < running.next_due():
        return
    most = running.sent + BURST
    while running.sent < min(running.total, most) and running.when(running.sent) <= now:
        address = running.addresses[running.sent % len(running.addresses)]
        running.sent += 1
        if address not in running.answered:
            yield address
    running.last = now


def _answers(running: _Running) -> dict[IPAddress, str]:
    unasked = dict.fromkeys(running.probe.addresses - running.asked, UNASKED)
    return unasked | running.answered
