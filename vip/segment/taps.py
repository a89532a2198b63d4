"""AF_PACKET sockets that hear some of a link's frames, a filter in the kernel before each of them.

One file descriptor for all of them, to wait on. What a socket may bring is bounded: who floods a
LAN must not have this process for himself. Decides nothing about the frames.
"""

import contextlib
import ctypes
import select
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from outgate.vip.segment.errors import SegmentRefused
from outgate.vip.segment.filters import SNAP, Step, assembled

_SOL_PACKET = 263  # linux/socket.h
_ADD_MEMBERSHIP, _MR_ALLMULTI = 1, 2  # linux/if_packet.h
_IGNORE_OUTGOING = 23  # linux/if_packet.h; Linux 4.20
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_SO_RCVBUFFORCE = 33
_BUFFER = 8 << 20
"""Bytes; a frame takes 0.8 KB of it while it waits: 10,000 of them."""

WINDOW = 0.1
"""Seconds over which frames are counted: what comes beyond its share waits for the next."""

REST = 0.005
"""Seconds until the next look where much comes, a tenth of a storm: to wake for each frame would
cost more than to read it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a socket hears: frames of an Ethernet protocol that pass the filter.

    all_multicast: also of groups that the kernel has not joined, as somebody else's duplicate
    address detection.
    """

    protocol: int
    steps: tuple[Step, ...]
    all_multicast: bool = False


@dataclass(slots=True)
class _Tap:
    socket: socket.socket
    index: int
    window: float = float("-inf")
    read: int = 0
    resumes: float | None = None


class Taps:
    """Sockets of the thread's network namespace (needs CAP_NET_RAW), none at first.

    storm: frames a second above which a socket's are left in its queue, and then lost.
    """

    def __init__(self, *, storm: int) -> None:
        self._allowance = max(1, int(storm * WINDOW))
        self._epoll = select.epoll()
        self._taps: dict[tuple[str, Kind], _Tap] = {}

    def fileno(self) -> int:
        """Readable while there is a frame, unless much comes: see `next_due`."""
        return self._epoll.fileno()

    def open(self, wanted: Mapping[tuple[str, Kind], None]) -> dict[str, str]:
        """Hears these links from now on, and no others; which could not be opened, and why.

        Call it again when links have changed: one of the same name may be another.
        """
        refused: dict[str, str] = {}
        for key in [key for key in self._taps if key not in wanted]:
            self._drop(key)
        for key in wanted:
            try:
                self._ensure(key)
            except SegmentRefused as error:
                refused[key[0]] = str(error)
        return refused

    def hear(self, *, now: float) -> Iterator[tuple[str, bytes]]:
        """The frames that have come, with their links' names."""
        for (interface, _), tap in self._taps.items():
            if now >= tap.window + WINDOW:
                tap.window, tap.read = now, 0
            receive = tap.socket.recv
            while tap.read < self._allowance:
                try:
                    frame = receive(SNAP)
                except OSError:
                    break  # no more; or the link went down, which reading has acknowledged
                tap.read += 1
                yield interface, frame
            self._rest(tap, now)

    def next_due(self) -> float | None:
        """When to look again although `fileno` says nothing; None if that isn't needed."""
        resumptions = (tap.resumes for tap in self._taps.values() if tap.resumes is not None)
        return min(resumptions, default=None)

    def close(self) -> None:
        """Closes the sockets."""
        for key in list(self._taps):
            self._drop(key)
        self._epoll.close()

    def _ensure(self, key: tuple[str, Kind]) -> None:
        interface, kind = key
        try:
            index = socket.if_nametoindex(interface)
            if key in self._taps and self._taps[key].index == index:
                return
            if key in self._taps:
                self._drop(key)
            self._taps[key] = tap = _Tap(_opened(interface, index, kind), index)
            self._epoll.register(tap.socket, select.EPOLLIN)
        except OSError as error:
            raise SegmentRefused(f"hear {interface}: {error}") from error

    def _drop(self, key: tuple[str, Kind]) -> None:
        tap = self._taps.pop(key)
        self._epoll.unregister(tap.socket)
        # The kernel waits until no CPU hands it a frame any more: 0.16 s on a busy node.
        threading.Thread(target=tap.socket.close, name="taps", daemon=True).start()

    def _rest(self, tap: _Tap, now: float) -> None:
        resumes = None
        if tap.read >= self._allowance:
            resumes = tap.window + WINDOW
        elif tap.read > self._allowance // 10:
            resumes = now + REST
        if (resumes is None) != (tap.resumes is None):
            self._epoll.modify(tap.socket, select.EPOLLIN if resumes is None else 0)
        tap.resumes = resumes


def _opened(interface: str, index: int, kind: Kind) -> socket.socket:
    # Protocol 0 hears nothing: not one frame is to come before the filter.
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        program = ctypes.create_string_buffer(assembled(kind.steps))
        length = (len(program) - 1) // 8
        made.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("@HP", length, ctypes.addressof(program)),
        )
        made.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        # Without CAP_NET_ADMIN the system's limit has to do: some 270 frames.
        with contextlib.suppress(PermissionError):
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        made.bind((interface, kind.protocol))
        if kind.all_multicast:
            membership = struct.pack("=iHH8x", index, _MR_ALLMULTI, 0)
            made.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)
    except OSError:
        made.close()
        raise
    return made
