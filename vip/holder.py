"""Holds and announces addresses: the turn that brings the kernel and the LAN to what was last said.

Level-triggered: each turn compares what is with what was said. Owns no socket and no clock: they
are handed in. It decides nothing about who should hold what; that is the agent's word.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from outgate.api.view import IPAddress
from outgate.daemon.backoff import Backoff
from outgate.vip.announcer import REFRESH, Announcer
from outgate.vip.errors import AddressRefused, WireRefused
from outgate.vip.model import Holding, Observed
from outgate.vip.placement import changes
from outgate.vip.protocol import Held
from outgate.vip.wire import Wire

log = structlog.get_logger()

RESYNC = 30.0
"""Seconds between looks at what the kernel really has, even if nobody seems to have changed it."""

GLANCE = 0.5
"""Seconds between looks whether somebody has: others remove addresses and swap links, and an uplink
that goes down is one that another node serves by."""

AT_ONCE = 64
"""Addresses announced in a turn: a thousand would outlast the lease that they are held by."""

NAMED = 8
"""Addresses in a line of the log; their number is always there."""

BACKOFF = Backoff(first=0.5, most=30.0, jitter=0.0)
"""Until what failed is tried again; no jitter, since nobody else is waiting."""


class Addresses(Protocol):
    """Where addresses live: `AddressKernel`, or a fake."""

    def touched(self) -> bool:
        """Whether anything may have changed since this was last asked. Raises AddressRefused."""

    def observe(self) -> Observed:
        """What there is. Raises AddressRefused."""

    def add_all(self, holdings: Collection[Holding]) -> Mapping[Holding, AddressRefused]:
        """Puts addresses on links; which not, and why."""

    def remove_all(self, holdings: Collection[Holding]) -> Mapping[Holding, AddressRefused]:
        """Takes our addresses off links; which not, and why."""


@dataclass(frozen=True, slots=True)
class _Wish:
    addresses: frozenset[IPAddress]
    interface: str
    standby: bool


class Holder:
    """What this node holds.

    addresses, wire: make the edges when they are first needed, for their imports are heavy.
    adopt: whether a former process may have left addresses. wall: Unix time at `now` = 0, for
    reports only.
    """

    def __init__(
        self,
        *,
        addresses: Callable[[], Addresses],
        wire: Callable[[], Wire],
        adopt: Callable[[], bool],
        refresh: float = REFRESH,
        wall: float = 0.0,
    ) -> None:
        self._make_addresses, self._make_wire, self._adopt = addresses, wire, adopt
        self._addresses: Addresses | None = None
        self._wire: Wire | None = None
        self._announcer = Announcer(refresh)
        self._wall = wall
        self._wish: _Wish | None = None
        self._errors: dict[IPAddress, str] = {}
        self._due = float("-inf")
        self._glance = float("-inf")
        # Until when there is nothing to announce: turns come by each datagram of another node.
        self._quiet = float("-inf")
        self._failures = 0
        self._repaired = 0
        self.version = 0
        """Rises with each change of `held`."""
        self.observed: Observed | None = None
        """What the kernel had at the last look; None as long as there was no need to look."""

    def hold(
        self, addresses: Iterable[IPAddress], *, interface: str, standby: bool = False
    ) -> None:
        """From the next turn on exactly these.

        interface: for addresses that are in no link's connected network. standby: there may be
        some soon; what that takes is loaded now.
        """
        wish = _Wish(frozenset(addresses), interface, standby)
        if wish != self._wish:
            self._wish = wish
            self._due = float("-inf")

    def announce(self, addresses: Collection[IPAddress]) -> None:
        """Say again that they are here, at once and in a train."""
        self._announcer = self._announcer.again(addresses)
        self._quiet = float("-inf")

    def turn(self, *, now: float) -> None:
        """Acts on whatever is due at `now` (seconds, monotonic); never raises our own errors."""
        if self._due <= now or self._touched(now):
            self._reconcile(now)
            self._quiet = float("-inf")
            self.version += 1
        if self._announce(now) and self._quiet > now:
            self.version += 1

    def next_turn(self) -> float:
        """When there is something to do again, unless a word comes first."""
        looks = self._due if self._addresses is None else min(self._due, self._glance)
        return min(looks, self._quiet)

    def held(self) -> tuple[Held, ...]:
        """What is held, and what hinders the rest."""
        held = [
            Held(str(h.address), h.interface, round(self._wall + a.since, 3), a.sent)
            for h, a in self._announcer.announcements.items()
            if h.address not in self._errors
        ]
        failed = [Held(str(address), error=error) for address, error in self._errors.items()]
        return tuple(sorted(held + failed, key=lambda one: one.address))

    @property
    def repaired(self) -> int:
        """How often an address that others had removed was put back."""
        return self._repaired

    def _touched(self, now: float) -> bool:
        if self._addresses is None or now < self._glance:
            return False
        self._glance = now + GLANCE
        try:
            return self._addresses.touched()
        except AddressRefused:
            return True  # the look that follows will say why

    def _reconcile(self, now: float) -> None:
        before = dict(self._errors)
        self._errors = {}
        try:
            self._apply(now)
        except AddressRefused as error:
            self._errors = {h.address: str(error) for h in self._announcer.announcements}
            self._failures += 1
            log.warning("addresses unknown", error=str(error))
        else:
            self._failures = self._failures + 1 if self._errors else 0
        for address, reason in self._errors.items():
            if before.get(address) != reason:
                log.warning("address not held", address=str(address), error=reason)
        self._due = now + (BACKOFF.wait(self._failures) or RESYNC)

    def _apply(self, now: float) -> None:
        wish = self._wish
        if wish is None:
            return  # what a former process left: not to be announced, somebody else may have it
        if self._addresses is None:
            if not (wish.addresses or wish.standby) and not self._adopt():
                return  # most nodes, for ever: nothing heavy is loaded there
            self._addresses = self._make_addresses()
        observed = self.observed = self._addresses.observe()
        todo = changes(observed, wish.addresses, default=wish.interface)
        self._errors.update(todo.refused)
        macs = {link.name: link.mac for link in observed.links}
        held = {h: macs[h.interface] for h in todo.hold}
        # Held until now, and nobody told us to let go.
        self._repaired += len(self._announcer.announcements.keys() & set(todo.add))
        # Silent before the address goes, or the last word on the LAN would be a lie.
        keep = {h: mac for h, mac in held.items() if h not in todo.add}
        self._announcer = self._announcer.holding(keep, now=now)
        self._refused(self._addresses.remove_all(todo.remove), todo.remove, "withdrawn")
        refused = self._addresses.add_all(todo.add)
        self._refused(refused, todo.add, "held")
        for holding in refused:
            del held[holding]
        self._announcer = self._announcer.holding(held, now=now)
        if wish.standby and self._wire is None:
            self._wire = self._make_wire()

    def _refused(
        self, refused: Mapping[Holding, AddressRefused], all_: Collection[Holding], done: str
    ) -> None:
        for holding, error in refused.items():
            self._errors[holding.address] = str(error)
        if len(all_) > len(refused):
            some = sorted(str(one.address) for one in all_ if one not in refused)
            log.info(f"addresses {done}", count=len(some), addresses=some[:NAMED])

    def _announce(self, now: float) -> bool:
        """Whether anything was due."""
        if now < self._quiet:
            return False
        sent: list[Holding] = []
        failed: list[Holding] = []
        for holding in self._announcer.due(now=now)[:AT_ONCE]:
            mac = self._announcer.announcements[holding].mac
            try:
                if self._wire is None:
                    self._wire = self._make_wire()
                self._wire.announce(holding.address, interface=holding.interface, mac=mac)
            except WireRefused as error:
                if self._errors.get(holding.address) != str(error):
                    log.warning("address not announced", error=str(error))
                self._errors[holding.address] = str(error)
                failed.append(holding)
            else:
                self._errors.pop(holding.address, None)
                sent.append(holding)
        self._announcer = self._announcer.announced(sent, now=now)
        self._announcer = self._announcer.postponed(failed, now=now)
        due = self._announcer.next_due()
        self._quiet = float("inf") if due is None else due
        return bool(sent or failed)
