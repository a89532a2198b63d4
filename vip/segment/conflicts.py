"""Who speaks for an address that is held here, or was found free a moment ago: sans-I/O.

RFC 5227 §2.4: another MAC as the sender of the address. A probe for it is no conflict: the kernel
answers that.
"""

from collections.abc import Collection, Iterable, Iterator

from outgate.api.view import IPAddress
from outgate.vip.engine.events import ConflictSeen
from outgate.vip.segment.settings import SegmentSettings
from outgate.vip.segment.spoken import Spoken, mac_text


class Conflicts:
    """What is watched, and what was said about it lately."""

    def __init__(self, settings: SegmentSettings) -> None:
        self._settings = settings
        self._held: dict[bytes, IPAddress] = {}
        self._probed: dict[bytes, tuple[IPAddress, float]] = {}
        self._reported: dict[bytes, float] = {}

    def hold(self, addresses: Iterable[IPAddress]) -> None:
        """Takes what is held from now on."""
        before, self._held = self._held, {address.packed: address for address in addresses}
        self._forget_reports(self._held.keys() - before.keys())

    def probed(self, addresses: Iterable[IPAddress], *, now: float) -> None:
        """Takes that a probe for these has just ended."""
        until = now + self._settings.recent
        self._probed = {k: one for k, one in self._probed.items() if one[1] > now}
        fresh = {address.packed: (address, until) for address in addresses}
        self._probed |= fresh
        self._forget_reports(fresh.keys())

    def keys(self) -> Iterator[bytes]:
        """The addresses that are watched, as bytes."""
        yield from self._held
        yield from self._probed

    def hear(self, spoken: Spoken, *, now: float) -> ConflictSeen | None:
        """The conflict that this is; None if it is none, or was reported a moment ago.

        Only others' words: the caller knows the node's MACs.
        """
        if spoken.probing:
            return None
        address = self._held.get(spoken.address)
        if address is None:
            address, until = self._probed.get(spoken.address, (None, now))
            if address is None or until <= now:
                return None
        if now < self._reported.get(spoken.address, float("-inf")) + self._settings.quiet:
            return None
        self._reported[spoken.address] = now
        return ConflictSeen(address, mac_text(spoken.mac))

    def _forget_reports(self, fresh: Collection[bytes]) -> None:
        """Keeps no report of what is not watched, nor of what is watched anew."""
        watched = (self._held.keys() | self._probed.keys()).difference(fresh)
        self._reported = {k: when for k, when in self._reported.items() if k in watched}
