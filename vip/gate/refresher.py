"""Sends the frames that refresh a lease, and looks whether they have done so."""

import socket
import time
from collections.abc import Iterator

from outgate.vip.gate.channel import Channel, Place
from outgate.vip.gate.frames import frame, fuse_key, lease_key, mark
from outgate.vip.gate.model import Family

_LINK = "lo"
_FAMILIES = tuple(Family)
_LOOKS, _PAUSE = 10, 0.0005
"""Each look after the first comes a pause later: under load the kernel takes a frame in by a thread
of its own, some milliseconds late."""

_SLACK = 20
"""Milliseconds that a lease may be shorter than meant: two jiffies where HZ is 100."""


class Refresher:
    """Of the network namespace of the thread that makes it. Raises OSError.

    Needs CAP_NET_RAW, and CAP_NET_ADMIN for the mark (before Linux 5.17).
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        # Protocol 0: it hears nothing.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._number = -1

    def light(self, number: int, *, fuse: int) -> bool:
        """Whether the fuse burns in both tables."""
        self._send(number, fuse=fuse, span=0)
        places = _fuses(fuse)
        return any(all(self._channel.left(places)) for _ in _looks())

    def refresh(self, number: int, *, fuse: int, span: int) -> bool:
        """Whether the lease has this span (ms) now, in both tables; if not, not by this fuse."""
        begin = time.monotonic()
        self._send(number, fuse=fuse, span=span)
        # Fuses first: what is seen after one that has burnt down stays as it is.
        places = [*_fuses(fuse), *_leases(number)]
        for _ in _looks():
            *burning, one, other = self._channel.left(places)
            left = min(one, other)
            spent = (time.monotonic() - begin) * 1000
            if left and span - spent - _SLACK <= left <= span:
                return True
            if not all(burning):
                return False
        return False

    def left(self, number: int) -> int:
        """Milliseconds that the lease still lives in both tables."""
        return min(self._channel.left(_leases(number)))

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()

    def _send(self, number: int, *, fuse: int, span: int) -> None:
        if number != self._number:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark(number))
            self._number = number
        for family in _FAMILIES:
            self._socket.sendto(frame(family, fuse=fuse, span=span), (_LINK, 0))


def _fuses(fuse: int) -> list[Place]:
    return [(family, "fuse", fuse_key(fuse)) for family in _FAMILIES]


def _leases(number: int) -> list[Place]:
    return [(family, "alive", lease_key(number)) for family in _FAMILIES]


def _looks() -> Iterator[None]:
    yield
    for _ in range(_LOOKS):
        time.sleep(_PAUSE)
        yield
