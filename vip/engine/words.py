"""What members say to each other: the content of a heartbeat, as the engine sees it.

The wire's engineer chooses the bytes and proves the sender; what arrives here is believed. A part
that has not changed is the same object in each heartbeat, so that an edge may send it in full only
now and then, by its `serial`, and the receiver need not look at it again.
"""

from collections.abc import Mapping
from enum import Enum

import msgspec

from outgate.api.view import IPAddress


class Hearing(Enum):
    """What a member does with another's heartbeats.

    ACKNOWLEDGES: its hearing is evidence. NEW: it has not heard the other since its own start, or
    may not acknowledge yet. WITHHOLDS: it has called the other silent, and somebody may act on it.
    UNHEARD: the same of one who speaks, but says that he does not hear the speaker.
    """

    ACKNOWLEDGES = "acknowledges"
    NEW = "new"
    WITHHOLDS = "withholds"
    UNHEARD = "unheard"


class Heard(msgspec.Struct, frozen=True, gc=False):
    """What a member has heard of another: boot and counter of the last heartbeat that counts, 0 if
    none does.

    age: seconds since, by the speaker's clock; since its own start, if none.
    """

    boot: int
    counter: int
    age: float
    hearing: Hearing


class Ack(msgspec.Struct, frozen=True, gc=False):
    """Said at once to a member that holds something: this heartbeat of it was heard.

    So evidence is as old as the way there and back, not as old as the speaker's next heartbeat.
    boot, counter: of the heartbeat that is acknowledged.
    """

    node: str
    boot: int
    counter: int


class OutSaid(msgspec.Struct, frozen=True, gc=False):
    """That a member is out: the epoch of its Lease, and seconds since that was known to be so."""

    epoch: int
    age: float


class Claim(msgspec.Struct, frozen=True):
    """Addresses that were taken together, and at which epoch."""

    epoch: int
    addresses: frozenset[IPAddress]


class Say(msgspec.Struct, frozen=True):
    """What a member says about one gateway. The same object until something changes.

    serial: rises with each change, within a boot. epoch: the highest it knows of.
    fit: whether it can take addresses (uplink, probes). inside: its Lease says that it is in, as
    far as it knows. joined: and since long enough for its hearing to count. claims: what it holds.
    wants: what it is about to take. asks: those wants that only their holder's consent is missing
    for.
    out: members whose Lease says that they were deposed, or that have none.
    """

    gateway: str
    serial: int
    epoch: int
    fit: bool
    inside: bool
    joined: bool
    claims: tuple[Claim, ...]
    wants: frozenset[IPAddress]
    asks: frozenset[IPAddress]
    out: frozenset[str]


class Heartbeat(msgspec.Struct, frozen=True):
    """What a member says every interval, and at once when it matters.

    boot: the incarnation of the process; a later one is greater. counter: rises by one with each
    heartbeat of a boot. api: whether it sees the API server. lease: how long, in seconds, its
    addresses may answer after the last evidence (longer before a planned restart).
    outs: by gateway, the members that are out, and how that is known.
    """

    node: str
    boot: int
    counter: int
    api: bool
    lease: float
    outs: Mapping[str, Mapping[str, OutSaid]]
    peers: Mapping[str, Heard]
    says: Mapping[str, Say]
