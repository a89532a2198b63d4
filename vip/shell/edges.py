"""What the driver asks of its edges; each has a fake in the tests."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from outgate.api.view import IPAddress
from outgate.vip.engine.actions import CheckReturnPath, Probe, ReadLeases, WriteLease
from outgate.vip.gate.edge import Gate
from outgate.vip.model import Observed
from outgate.vip.peer.words import Datagram
from outgate.vip.protocol import Held
from outgate.vip.segment import LanLink
from outgate.vip.segment.edge import Heard


class Lan(Protocol):
    """The addresses on this node's links, and their announcements: `Holder`."""

    def hold(
        self, addresses: Iterable[IPAddress], *, interface: str, standby: bool = False
    ) -> None:
        """From the next turn on exactly these."""

    def announce(self, addresses: Collection[IPAddress]) -> None:
        """Say again, from the next turn on, that they are here."""

    def turn(self, *, now: float) -> None:
        """Acts on whatever is due."""

    def next_turn(self) -> float:
        """When there is something to do again."""

    @property
    def repaired(self) -> int:
        """How often an address that others had removed was put back."""

    @property
    def version(self) -> int:
        """Rises with each change of `held`."""

    @property
    def observed(self) -> Observed | None:
        """What the kernel had at the last look."""

    def held(self) -> tuple[Held, ...]:
        """What is held, and what hinders the rest."""


class Segment(Protocol):
    """Asks the LAN, and hears it: `SegmentEdge`."""

    def know(
        self,
        links: Iterable[LanLink],
        *,
        macs: Iterable[str],
        place: Callable[[IPAddress], str],
    ) -> Mapping[str, str]:
        """The links to hear; which can't be heard, and why."""

    def hold(self, addresses: Iterable[IPAddress]) -> None:
        """What is held from now on."""

    def probe(self, probe: Probe, *, now: float) -> None:
        """Begins to ask."""

    def check(self, check: CheckReturnPath) -> None:
        """Begins to see whether packets to the addresses come here."""

    def seek(self, addresses: Iterable[IPAddress], *, interface: str) -> None:
        """Has the kernel ask again for the neighbours that it waits for."""

    def turn(self, *, now: float) -> tuple[Heard, ...]:
        """Hears what has come, sends what is due; what was found out."""

    def next_due(self) -> float | None:
        """When `turn` is due although nothing was heard."""


class Leases(Protocol):
    """The API server; the answers come as events."""

    def submit(self, action: ReadLeases | WriteLease) -> None:
        """Asks, without waiting."""

    def own(self, uids: Mapping[str, str]) -> None:
        """The EgressGateways' uids by name."""


class Voice(Protocol):
    """The socket to the other nodes."""

    def send(self, datagrams: Iterable[Datagram]) -> int:
        """Sends each; how many left."""


@dataclass(frozen=True, slots=True)
class Edges:
    """All of them."""

    gate: Gate
    lan: Lan
    segment: Segment
    leases: Leases
    voice: Voice
