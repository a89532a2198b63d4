"""What agent and vip say to each other over the Unix socket: one JSON value a line.

The agent says the whole set of addresses each time, so a lost or repeated line does no harm, and
the sequence number tells which word a report answers. Nothing here is about when or how.
"""

from collections.abc import Iterator

import msgspec

from outgate.vip.errors import PeerGone

SOCKET_PATH = "/run/outgate/vip.sock"
LINE_MAX = 4 * 1024 * 1024
"""Bytes of one message: 16,384 IPv6 addresses with room; more is no message of ours."""


class Group(msgspec.Struct, frozen=True):
    """One gateway of which this node is a member; as `outgate.api.view.GatewayGroup`.

    unfit: why this node can't serve it now; "" if it can.
    """

    gateway: str
    uid: str
    addresses: tuple[str, ...]
    members: tuple[str, ...]
    eligible: tuple[str, ...]
    failback: bool = False
    unfit: str = ""


class Word(msgspec.Struct, frozen=True, tag="word"):
    """Agent to vip: what there is to settle with the other nodes. The whole of it, each time.

    node: this one's name. interface: the underlay's, for addresses that are in no link's connected
    network. nodes: of the whole mesh, this one too, the underlay address. groups: this node's
    gateways. ids: of each egress address, its egress id. indexes: of each node, its index in
    conntrack marks. standby: this node may become a gateway node; load now what that takes.
    """

    seq: int
    node: str
    interface: str
    nodes: dict[str, str]
    groups: tuple[Group, ...] = ()
    ids: dict[str, int] = {}
    indexes: dict[str, int] = {}
    standby: bool = False


class Held(msgspec.Struct, frozen=True):
    """One address: since when (Unix time, seconds), how often announced, or what hinders it."""

    address: str
    interface: str = ""
    since: float = 0.0
    announced: int = 0
    error: str = ""


class Claimed(msgspec.Struct, frozen=True):
    """Addresses that a node has claimed, and at which epoch."""

    node: str
    gateway: str
    epoch: int
    addresses: tuple[str, ...]


class Note(msgspec.Struct, frozen=True):
    """Something that people should know: `outgate.vip.engine.actions.Report`, or a move.

    at: Unix time, seconds. number: rises by one with each note of a process.
    """

    number: int
    at: float
    gateway: str
    what: str
    addresses: tuple[str, ...] = ()
    detail: str = ""


class Move(msgspec.Struct, frozen=True):
    """Addresses of a gateway that this node claimed, or let go, within a few seconds.

    claimed: which of the two. at: Unix time, seconds, of the last. first, epoch: of the claims, the
    lowest and the highest. count: of addresses. node: where they came from, or go to; "" if that
    is nobody, or not known. why: `planned`, `crash` or `free` of claims, as
    `outgate.vip.shell.tally` says; of releases the word of `outgate.vip.engine.actions.Release`.
    took: seconds of the longest claim; 0.0 where nothing was waited for.
    """

    gateway: str
    claimed: bool
    at: float
    first: int
    epoch: int
    count: int
    node: str = ""
    why: str = ""
    took: float = 0.0


class Trouble(msgspec.Struct, frozen=True):
    """What is wrong now with addresses of a gateway, as far as this node knows.

    what: a word of `outgate.vip.shell.troubles`. addresses: the first few. count: all of them.
    detail: of the first: the MAC of who else answers, or why the way back is not known.
    """

    gateway: str
    what: str
    addresses: tuple[str, ...]
    count: int
    detail: str = ""


class Report(msgspec.Struct, frozen=True, tag="report"):
    """Vip to agent: how things are, after having acted on the word `seq` (0: none yet).

    knows: whether it has had a word, be it one that a former process has kept.
    held: each address that is on this node, and what hinders it. claims: what this node has
    claimed. heard: the latest claims of the others. api: whether the vip process sees the API
    server. notes: the last ones, oldest first. repaired: how often, since the process began, an
    address that others had removed was put back. moves: the last ones, oldest first. troubles:
    those that last. unfit: the gateways that this node can't serve as its links are, and why.
    """

    seq: int
    held: tuple[Held, ...] = ()
    repaired: int = 0
    claims: tuple[Claimed, ...] = ()
    heard: tuple[Claimed, ...] = ()
    api: bool = False
    notes: tuple[Note, ...] = ()
    knows: bool = True
    moves: tuple[Move, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    unfit: dict[str, str] = {}


BOUNDS = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""Seconds: upper bounds of the buckets of `Durations`."""


class Durations(msgspec.Struct, frozen=True):
    """How often something took how long. buckets: by `BOUNDS`, each on its
    own, and the longer ones. total: seconds of all."""

    buckets: tuple[int, ...]
    total: float


class GatewayNumbers(msgspec.Struct, frozen=True):
    """Of one gateway of this node. Counts are since the process began.

    held: addresses, and epoch: the highest that is known, now. failsafe: whether it goes on without
    certainty, now. contested, lost, unknown: addresses that somebody else answers for, whose way
    back leads elsewhere, and whose could not be found out, now. claimed: addresses, by kind.
    released: addresses, by why. conflicts: by when (`held`, `wanted`). returns: checks of the way
    back, by result. took: claims, by kind.
    """

    gateway: str
    held: int = 0
    epoch: int = 0
    failsafe: bool = False
    contested: int = 0
    lost: int = 0
    unknown: int = 0
    claimed: dict[str, int] = {}
    released: dict[str, int] = {}
    conflicts: dict[str, int] = {}
    returns: dict[str, int] = {}
    took: dict[str, Durations] = {}


class Numbers(msgspec.Struct, frozen=True, tag="numbers"):
    """Vip to agent: what it counts, every few seconds. Counts are since the process began.

    api: whether it sees the API server. realtime: whether it runs in real time. sent, heard:
    heartbeats. refused: datagrams that were not believed, by reason. unsent: messages for which
    there was no address, or no key. leases: answers of the API server, by kind.
    """

    gateways: tuple[GatewayNumbers, ...] = ()
    api: bool = False
    realtime: bool = False
    sent: int = 0
    heard: int = 0
    refused: dict[str, int] = {}
    unsent: int = 0
    leases: dict[str, int] = {}


Message = Word | Report | Numbers


def encode(message: Message) -> bytes:
    """The message as a line."""
    return msgspec.json.encode(message) + b"\n"


class Lines:
    """Cuts a byte stream into messages."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._decoder = msgspec.json.Decoder(Message)

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are complete now. Raises PeerGone on what is none."""
        self._rest += data
        while (end := self._rest.find(b"\n")) >= 0:
            line = bytes(self._rest[:end])
            del self._rest[: end + 1]
            try:
                yield self._decoder.decode(line)
            except msgspec.MsgspecError as error:
                raise PeerGone(f"not a message: {error}") from error
        if len(self._rest) > LINE_MAX:
            raise PeerGone(f"a line of more than {LINE_MAX} bytes")
