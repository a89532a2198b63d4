"""Echo replies that come to this node, heard before tc and nftables, while a check runs.

These sockets get every frame of a link, whose packets then all meet a filter: so they are open only
as long as something is awaited.
"""

from collections.abc import Iterable, Iterator

from outgate.vip.segment.filters import echo_replies
from outgate.vip.segment.frames import EchoReply, echo_reply
from outgate.vip.segment.taps import Kind, Taps

_ETH_P_ALL = 0x0003  # linux/if_ether.h


class Echoes:
    """Hears links for echo replies with this identifier (needs CAP_NET_RAW); none at first."""

    def __init__(self, *, identifier: int, storm: int) -> None:
        self._taps = Taps(storm=storm)
        self._kind = Kind(_ETH_P_ALL, echo_replies(identifier))

    def fileno(self) -> int:
        """Readable while there is something to hear."""
        return self._taps.fileno()

    def listen(self, interfaces: Iterable[str]) -> dict[str, str]:
        """Hears these links from now on, and no others; which it can't, and why."""
        return self._taps.open({(name, self._kind): None for name in interfaces})

    def hear(self, *, now: float) -> Iterator[tuple[str, EchoReply]]:
        """The replies that have come, with their links' names."""
        for interface, frame in self._taps.hear(now=now):
            reply = echo_reply(frame)
            if reply is not None:
                yield interface, reply

    def next_due(self) -> float | None:
        """When to hear again although `fileno` says nothing; None if that isn't needed."""
        return self._taps.next_due()

    def close(self) -> None:
        """Closes the sockets."""
        self._taps.close()
