"""Holds and announces addresses: the turn that brings the kernel and the LAN to what was last said.

Level-triggered: each turn compares what is with what was said. Owns no socket and no clock: they
are handed in. It decides nothing about who should hold what; that is the agent's word.
"""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Protocol

import structlog

from outgate.api.view import IPAddress
from outgate.daemon.backoff import Backoff
from outgate.vip.announcer import REFRESH, Announcer
from outgate.vip.errors import AddressRefused, PeerGone, WireRefused
from outgate.vip.model import Holding, Observed
from outgate.vip.placement import adopted, changes
from outgate.vip.protocol import Held, Hold, Report
from outgate.vip.wire import Wire

log = structlog.get_logger()

RESYNC = 30.0
"""Seconds between looks at what the kernel really has, even if nobody seems to have changed it."""

GLANCE = 2.0
"""Seconds between looks whether somebody has: others remove addresses and swap links."""

BACKOFF = Backoff(first=0.5, most=30.0, jitter=0.0)
"""Until what failed is tried again; no jitter, since nobody else is waiting."""


class Addresses(Protocol):
    """Where addresses live: `AddressKernel`, or a fake."""

    def touched(self) -> bool:
        """Whether anything may have changed since this was last asked. Raises AddressRefused."""

    def observe(self) -> Observed:
        """What there is. Raises AddressRefused."""

    def add(self, holding: Holding) -> None:
        """Puts an address on a link. Raises AddressRefused."""

    def remove(self, holding: Holding) -> None:
        """Takes our address off a link. Raises AddressRefused."""


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
        self._word: Hold | None = None
        self._wanted: frozenset[IPAddress] = frozenset()
        self._answered = 0
        self._errors: dict[IPAddress, str] = {}
        self._due = float("-inf")
        self._glance = float("-inf")
        self._failures = 0
        self._repaired = 0

    def hold(self, word: Hold) -> None:
        """Takes the agent's word; the next turn acts on it. Raises PeerGone if it is nonsense."""
        try:
            self._wanted = frozenset(ip_address(address) for address in word.addresses)
        except ValueError as error:
            raise PeerGone(f"not a message: {error}") from error
        self._word = word
        self._due = float("-inf")

    def turn(self, *, now: float) -> None:
        """Acts on whatever is due at `now` (seconds, monotonic); never raises our own errors."""
        if self._due <= now or self._touched(now):
            self._reconcile(now)
        self._announce(now)

    def next_turn(self) -> float:
        """When there is something to do again, unless a word comes first."""
        announcement = self._announcer.next_due()
        looks = self._due if self._addresses is None else min(self._due, self._glance)
        return looks if announcement is None else min(looks, announcement)

    def report(self) -> Report:
        """What is held, and what hinders the rest."""
        held = [
            Held(str(h.address), h.interface, round(self._wall + a.since, 3), a.sent)
            for h, a in self._announcer.announcements.items()
            if h.address not in self._errors
        ]
        failed = [Held(str(address), error=error) for address, error in self._errors.items()]
        entries = tuple(sorted(held + failed, key=lambda one: one.address))
        return Report(self._answered, entries, self._repaired)

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
        word = self._word
        if self._addresses is None:
            if not (word and (word.addresses or word.standby)) and not self._adopt():
                self._answered = word.seq if word else 0
                return  # most nodes, for ever: nothing heavy is loaded there
            self._addresses = self._make_addresses()
        observed = self._addresses.observe()
        todo = (
            changes(observed, self._wanted, default=word.interface) if word else adopted(observed)
        )
        self._errors.update(todo.refused)
        macs = {link.name: link.mac for link in observed.links}
        held = {h: macs[h.interface] for h in todo.hold}
        # Held until now, and nobody told us to let go.
        self._repaired += len(self._announcer.announcements.keys() & set(todo.add))
        # Silent before the address goes, or the last word on the LAN would be a lie.
        keep = {h: mac for h, mac in held.items() if h not in todo.add}
        self._announcer = self._announcer.holding(keep, now=now)
        for holding in todo.remove:
            self._try(self._addresses.remove, holding, "withdrawn")
        for holding in todo.add:
            if not self._try(self._addresses.add, holding, "held"):
                del held[holding]
        self._announcer = self._announcer.holding(held, now=now)
        if word and word.standby and self._wire is None:
            self._wire = self._make_wire()
        self._answered = word.seq if word else 0

    def _try(self, op: Callable[[Holding], None], holding: Holding, done: str) -> bool:
        try:
            op(holding)
        except AddressRefused as error:
            self._errors[holding.address] = str(error)
            return False
        log.info(f"address {done}", address=str(holding.address), interface=holding.interface)
        return True

    def _announce(self, now: float) -> None:
        sent: list[Holding] = []
        failed: list[Holding] = []
        for holding in self._announcer.due(now=now):
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
