"""The segment for the loop: the engine's actions in, its events out, one descriptor to wait on.

Ties the machines with the sockets; decides nothing of its own.
"""

import os
import select
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from outgate.api.view import IPAddress
from outgate.vip.engine.actions import CheckReturnPath, Probe
from outgate.vip.engine.events import ConflictSeen, Probed
from outgate.vip.errors import WireRefused
from outgate.vip.segment import frames
from outgate.vip.segment.conflicts import Conflicts
from outgate.vip.segment.echoes import Echoes
from outgate.vip.segment.listener import Listener
from outgate.vip.segment.neighbours import Seeker, mac_of
from outgate.vip.segment.prober import Prober
from outgate.vip.segment.return_path import Echo, ReturnPaths, Target, Verdict
from outgate.vip.segment.settings import DEFAULTS, SegmentSettings
from outgate.vip.wire import LinkSockets

Heard = Probed | ConflictSeen | Verdict


@dataclass(frozen=True, slots=True)
class LanLink:
    """A link that carries egress addresses.

    mac: lower case with colons. router4, router6: its default gateways, None if it has none.
    own4, own6: an address of the node's own on it, to see whether the router answers at all.
    asked4, asked6: who is to answer instead of the router, if the operator says so.
    """

    name: str
    mac: str
    router4: IPAddress | None = None
    router6: IPAddress | None = None
    own4: IPAddress | None = None
    own6: IPAddress | None = None
    asked4: IPAddress | None = None
    asked6: IPAddress | None = None

    def target(self, version: int) -> Target | None:
        """Whom to ask for the way back of this family; None if there is no router."""
        four = version == 4
        router = self.router4 if four else self.router6
        if router is None:
            return None
        asked = (self.asked4 if four else self.asked6) or router
        return Target(self.name, router, asked, self.own4 if four else self.own6)


class SegmentEdge:
    """All that is asked and heard of the segment; hears no link until `know` names one.

    For the network namespace of the thread that calls it; needs CAP_NET_RAW, and CAP_NET_ADMIN for
    large queues and to have the kernel ask for a router's MAC. Every method's `now` is the same
    monotonic clock. Raises nothing but for programming errors.
    """

    def __init__(
        self,
        *,
        settings: SegmentSettings = DEFAULTS,
        identifier: int | None = None,
    ) -> None:
        """identifier: of the echo requests, 16 bits; the process' id if None."""
        self._identifier = os.getpid() & 0xFFFF if identifier is None else identifier
        self._prober = Prober()
        self._conflicts = Conflicts(settings)
        self._paths = ReturnPaths(settings)
        self._listener = Listener(storm=settings.storm)
        self._echoes = Echoes(identifier=self._identifier, storm=settings.storm)
        self._epoll = select.epoll()
        for edge in (self._listener, self._echoes):
            self._epoll.register(edge.fileno(), select.EPOLLIN)
        self._sockets = LinkSockets()
        self._seeker = Seeker()
        self._links: dict[str, LanLink] = {}
        self._macs: frozenset[bytes] = frozenset()
        self._place: Callable[[IPAddress], str] = _nowhere
        self._watched: frozenset[bytes] = frozenset()
        self._awaiting: frozenset[str] = frozenset()
        self._questions: dict[IPAddress, tuple[str, bytes]] = {}

    def fileno(self) -> int:
        """Readable while there is something to hear: then `turn`."""
        return self._epoll.fileno()

    def know(
        self,
        links: Iterable[LanLink],
        *,
        macs: Iterable[str],
        place: Callable[[IPAddress], str],
    ) -> Mapping[str, str]:
        """Takes the node's links, at first and whenever the kernel has news of them.

        macs: of all the node's links, whose frames are no one else's. place: the link of an
        address. Returns the links that can't be heard, and why.
        """
        self._links = {link.name: link for link in links}
        self._macs = frozenset(bytes.fromhex(mac.replace(":", "")) for mac in macs)
        self._place = place
        self._questions.clear()
        self._echoes.listen(self._awaiting & self._links.keys())
        return self._listener.listen(self._links)

    def hold(self, addresses: Iterable[IPAddress]) -> None:
        """Takes what is held from now on: who speaks for it is in conflict with this node.

        At each `Claim` and `Release`. The check of an address that is held no longer ends without a
        word: nothing is sent from it any more.
        """
        held = frozenset(addresses)
        self._conflicts.hold(held)
        self._paths.retain(held)
        self._watch()

    def probe(self, probe: Probe, *, now: float) -> None:
        """Begins a probe. → `Probed`; an address that could not be asked for counts as answered,
        by "" (`outgate.vip.segment.prober.UNASKED`)."""
        self._prober.ask(probe, now=now)
        self._watch()

    def check(self, check: CheckReturnPath) -> None:
        """Begins to check the way back of what is held: after `hold`.

        → `ReturnPathChecked` for each address, or `ReturnPathUnknown`.
        """
        self._paths.check({address: self._target(address) for address in check.addresses})

    def seek(self, addresses: Iterable[IPAddress], *, interface: str) -> None:
        """Has the kernel ask again, now, for the neighbours on that link that it waits for."""
        self._seeker.seek(addresses, interface=interface)

    def turn(self, *, now: float) -> tuple[Heard, ...]:
        """Hears what has come, says what follows from it, and sends what is due: in this order, so
        that no verdict overlooks an answer that waits in a queue."""
        events: list[Heard] = [*self._hear(now)]
        ended = self._prober.verdicts(now=now)
        for probe, probed in ended:
            self._conflicts.probed(probe.addresses, now=now)
            events.append(probed)
        if ended:
            self._watch()
            self._questions.clear()
        events += self._paths.verdicts(now=now)
        self._send_probes(now)
        for echo in self._paths.due(now=now):
            self._send_echo(echo)
        self._await_echoes()
        return tuple(events)

    def next_due(self) -> float | None:
        """When `turn` is due although `fileno` says nothing; None if it isn't."""
        parts = (self._prober, self._paths, self._listener, self._echoes)
        return min((due for part in parts if (due := part.next_due()) is not None), default=None)

    def close(self) -> None:
        """Closes the sockets."""
        for edge in (self._listener, self._echoes, self._sockets, self._epoll):
            edge.close()

    def _watch(self) -> None:
        self._watched = frozenset((*self._prober.keys(), *self._conflicts.keys()))

    def _target(self, address: IPAddress) -> Target | None:
        link = self._links.get(self._place(address))
        return link.target(address.version) if link else None

    def _hear(self, now: float) -> Iterable[ConflictSeen]:
        for said in self._listener.hear(self._watched, now=now):
            if said.mac in self._macs or self._prober.hear(said):
                continue
            conflict = self._conflicts.hear(said, now=now)
            if conflict is not None:
                yield conflict
        for _, reply in self._echoes.hear(now=now):
            if reply.mac in self._macs:
                self._paths.hear(
                    destination=reply.destination,
                    source=reply.source,
                    sequence=reply.sequence,
                    now=now,
                )

    def _send_probes(self, now: float) -> None:
        sent = []
        for address in self._prober.due(now=now):
            try:
                interface, frame = self._question(address)
                self._sockets.send(frame, interface=interface)
            except (OSError, WireRefused):
                continue  # not asked, which the verdict says
            sent.append(address)
        self._prober.sent(sent)

    def _question(self, address: IPAddress) -> tuple[str, bytes]:
        """The probe's link and frame, which are the same each time."""
        known = self._questions.get(address)
        if known is None:
            interface = self._place(address)
            if interface not in self._links:
                raise WireRefused(f"ask for {address}: no link {interface}")
            frame = frames.probe(address, _hardware(self._links[interface].mac))
            known = self._questions[address] = (interface, frame)
        return known

    def _send_echo(self, echo: Echo) -> None:
        link = self._links.get(echo.target.interface)
        if link is None:
            return
        self._await_echoes()
        try:
            router = mac_of(echo.target.router, interface=link.name)
            if router is None:
                return
            frame = frames.echo_request(
                echo.source,
                echo.target.asked,
                mac=_hardware(link.mac),
                router_mac=router,
                identifier=self._identifier,
                sequence=echo.sequence,
            )
            self._sockets.send(frame, interface=link.name)
        except (OSError, WireRefused):
            return  # not sent, which the verdict says
        self._paths.sent(echo)

    def _await_echoes(self) -> None:
        awaiting = self._paths.interfaces() & self._links.keys()
        if awaiting != self._awaiting:
            self._awaiting = awaiting
            self._echoes.listen(awaiting)


def _nowhere(_address: IPAddress) -> str:
    return ""


def _hardware(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
