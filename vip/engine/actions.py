"""What the engine asks of its edges. Times are the caller's monotonic clock, in seconds.

Edges carry actions out in order. `until` is absolute, because a process may be stopped between a
decision and its effect: what would come after `until` must not be done at all.
"""

from dataclasses import dataclass

from outgate.api.view import IPAddress
from outgate.vip.engine.events import Record
from outgate.vip.engine.words import Ack, Heartbeat


@dataclass(frozen=True, slots=True)
class Send:
    """Send the heartbeat to these nodes."""

    to: tuple[str, ...]
    heartbeat: Heartbeat


@dataclass(frozen=True, slots=True)
class SendAck:
    """Send the acknowledgement to this node, now."""

    to: str
    ack: Ack


@dataclass(frozen=True, slots=True)
class Claim:
    """This node holds the addresses from now: kernel elements that run out at `until`, announced.

    Rebuild flows first as far as that costs no time. `came_from`: whose they were, "" if nobody's.
    planned: that node agreed, and passes on late packets.
    """

    gateway: str
    addresses: frozenset[IPAddress]
    epoch: int
    until: float
    came_from: str
    planned: bool


@dataclass(frozen=True, slots=True)
class Refresh:
    """The kernel elements of these addresses run out at `until`, no sooner.

    Only elements that are still alive: delete and add in one transaction, which the kernel refuses
    when one has run out → `ElementsGone`. What was lost stays lost, until it is claimed again.
    """

    gateway: str
    addresses: frozenset[IPAddress]
    until: float

    def lifetime(self, now: float) -> float:
        """Seconds to give the elements; ask right before the transaction, do nothing if ≤ 0."""
        return self.until - now


@dataclass(frozen=True, slots=True)
class Release:
    """This node holds the addresses no longer: silent first, then out of the kernel.

    why: a word for logs and Events. pass_on: seconds during which late packets still pass.
    to: who takes them over, if known.
    """

    gateway: str
    addresses: frozenset[IPAddress]
    why: str
    pass_on: float = 0.0
    to: str = ""


@dataclass(frozen=True, slots=True)
class Prepare:
    """Fetch the flows of these addresses from the source nodes: a planned move. → `Prepared`."""

    gateway: str
    addresses: frozenset[IPAddress]
    holder: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask the segment who answers for the addresses (RFC 5227 §2.1.1; DAD for IPv6). → `Probed`.

    count probes each, spread over `wait` seconds. heeds: whether a probe of the same address by
    somebody else within that time counts as an answer, too.
    """

    probe: int
    addresses: frozenset[IPAddress]
    count: int
    wait: float
    heeds: bool = True


@dataclass(frozen=True, slots=True)
class Announce:
    """Say on the segment that the addresses are here: a defence, or a repeated announcement."""

    addresses: frozenset[IPAddress]


@dataclass(frozen=True, slots=True)
class TellAgain:
    """A member is back that was not heard: nodes that could not be told of claims may be, too."""


@dataclass(frozen=True, slots=True)
class Seek:
    """Have the kernel ask again where these nodes are, if it waits for an answer.

    It asks once a second, and queues meanwhile; a segment that has healed must be noticed sooner.
    """

    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckReturnPath:
    """See whether packets to the addresses come to this node. → `ReturnPathChecked`."""

    addresses: frozenset[IPAddress]


@dataclass(frozen=True, slots=True)
class ReadLeases:
    """Read the Leases of all gateways, in one consistent list. → `LeasesRead` or `ApiFailed`."""

    request: int


@dataclass(frozen=True, slots=True)
class WriteLease:
    """Compare-and-swap one Lease: create it if the version is "", else replace that version.

    → `LeaseWritten`, `LeaseRefused` or `ApiFailed`.
    """

    request: int
    record: Record


@dataclass(frozen=True, slots=True)
class Report:
    """Something that people should know: an Event, a condition, a metric.

    what: `Conflict`, `Occupied`, `Failsafe`, `FailsafeEnded`, `ReturnPathFailed`,
    `ReturnPathWorks`, `Deposed`.
    """

    gateway: str
    what: str
    address: IPAddress | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ReadyToRestart:
    """Everybody who could take the addresses knows: the process has until `until` to be back."""

    until: float


Action = (
    Send
    | SendAck
    | Claim
    | Refresh
    | Release
    | Prepare
    | Probe
    | Announce
    | TellAgain
    | Seek
    | CheckReturnPath
    | ReadLeases
    | WriteLease
    | Report
    | ReadyToRestart
)
