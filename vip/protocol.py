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


class Hold(msgspec.Struct, frozen=True, tag="hold"):
    """Agent to vip: hold exactly these addresses.

    interface: the underlay's, for addresses that are in no link's connected network.
    standby: this node may be told to hold something soon; load what that takes now.
    """

    seq: int
    addresses: tuple[str, ...]
    interface: str
    standby: bool = False


class Held(msgspec.Struct, frozen=True):
    """One address: since when (Unix time, seconds), how often announced, or what hinders it."""

    address: str
    interface: str = ""
    since: float = 0.0
    announced: int = 0
    error: str = ""


class Report(msgspec.Struct, frozen=True, tag="report"):
    """Vip to agent: what is held, after having acted on the word `seq` (0: none yet).

    repaired: how often, since the process began, an address that others had removed was put back.
    """

    seq: int
    held: tuple[Held, ...] = ()
    repaired: int = 0


Message = Hold | Report


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
