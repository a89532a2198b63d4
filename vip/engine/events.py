"""What can happen to the engine. Times are the caller's monotonic clock, in seconds."""

from collections.abc import Mapping
from dataclasses import dataclass

from outgate.api.view import IPAddress
from outgate.vip.engine.words import Ack, Heartbeat


@dataclass(frozen=True, slots=True)
class HeartbeatHeard:
    """A heartbeat whose sender was proven. Replays, duplicates and old ones are sorted out here."""

    heartbeat: Heartbeat


@dataclass(frozen=True, slots=True)
class AckHeard:
    """An acknowledgement whose sender was proven."""

    ack: Ack


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: `Engine.next_wake` was reached."""


@dataclass(frozen=True, slots=True)
class Membership:
    """The agent's word on one gateway; replaces the last one.

    members: all nodes that its selector takes, this one among them. eligible: those of them that
    may take addresses, as the controller sees it. failback: whether a node that comes (back) takes
    its fair share from the others. addresses: all egress IPs in use.
    """

    gateway: str
    addresses: frozenset[IPAddress]
    members: frozenset[str]
    eligible: frozenset[str]
    failback: bool = False


@dataclass(frozen=True, slots=True)
class GatewayGone:
    """This node is no longer a member of the gateway, or there is no such gateway any more.

    Tell it only after the node's addresses have moved; what it still holds is let go at once.
    """

    gateway: str


@dataclass(frozen=True, slots=True)
class FitnessChanged:
    """Whether this node can serve the gateway: its uplink is up and its probes pass."""

    gateway: str
    fit: bool


@dataclass(frozen=True, slots=True)
class Record:
    """One member's Lease.

    epoch: `leaseTransitions`. inside: `holderIdentity` is the node itself (deposed: empty).
    term: `leaseDurationSeconds`, rounded up; 0 written as an annotation: what its node relies on.
    version: `resourceVersion` and uid, "" of one that is not written yet. boot: of the process
    that wrote.
    """

    gateway: str
    node: str
    epoch: int
    boot: int
    inside: bool
    term: float
    version: str = ""


@dataclass(frozen=True, slots=True)
class LeasesRead:
    """The answer to `ReadLeases`: all members' Leases, read consistently (never from a cache)."""

    request: int
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class LeaseWritten:
    """The answer to `WriteLease`: it was swapped, and stands like this now."""

    request: int
    record: Record


@dataclass(frozen=True, slots=True)
class LeaseRefused:
    """The answer to `WriteLease`: it was another version (409), or was deleted (404)."""

    request: int


@dataclass(frozen=True, slots=True)
class ApiFailed:
    """A request was not answered, or not with sense; a write may have happened, or yet happen."""

    request: int


@dataclass(frozen=True, slots=True)
class Probed:
    """The verdict of a `Probe`: which of the addresses somebody else answers, or probes, for.

    answered: address → that somebody's MAC.
    """

    probe: int
    answered: Mapping[IPAddress, str]


@dataclass(frozen=True, slots=True)
class ElementsGone:
    """The kernel refused a `Refresh`: some of the elements had run out, so none was refreshed.

    Say it also of a `Claim` or `Refresh` that came after its `until`, and was not carried out.
    """

    gateway: str
    addresses: frozenset[IPAddress]


@dataclass(frozen=True, slots=True)
class ConflictSeen:
    """Another MAC was seen as the sender of an address that is held here, or was probed in the
    last seconds (RFC 5227 §2.4; for IPv6 an advertisement with it as target).

    While a probe runs, that is its answer (§2.1.1).
    """

    address: IPAddress
    mac: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """The answer to `Prepare`: the flows of these addresses are here."""

    gateway: str
    addresses: frozenset[IPAddress]


@dataclass(frozen=True, slots=True)
class ReturnPathChecked:
    """The answer to `CheckReturnPath`: whether a packet to the address came to this node."""

    address: IPAddress
    came: bool


@dataclass(frozen=True, slots=True)
class Restarting:
    """The process is about to be replaced on purpose: `ReadyToRestart` follows."""


Event = (
    HeartbeatHeard
    | AckHeard
    | Tick
    | Membership
    | GatewayGone
    | FitnessChanged
    | LeasesRead
    | LeaseWritten
    | LeaseRefused
    | ApiFailed
    | Probed
    | ElementsGone
    | ConflictSeen
    | Prepared
    | ReturnPathChecked
    | Restarting
)


@dataclass(frozen=True, slots=True)
class Adopted:
    """An address that the process before this one held: its kernel element still lives.

    until: when it runs out, by the monotonic clock.
    """

    gateway: str
    address: IPAddress
    epoch: int
    until: float
