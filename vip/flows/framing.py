"""Where frames end in a byte stream: each has its length before it. Pure.

Frames are sealed elsewhere; until then nothing in them is believed, so no more than one is kept.
"""

import struct
from collections.abc import Iterator

from outgate.vip.flows.errors import NotOurs

FRAME_MAX = 1 << 16
"""Bytes: a batch of flows is a third of it."""

_LENGTH = struct.Struct("!I")


def framed(frame: bytes) -> bytes:
    """The frame as it goes into the stream."""
    if not 0 < len(frame) <= FRAME_MAX:
        raise NotOurs(f"a frame of {len(frame)} bytes; at most {FRAME_MAX}")
    return _LENGTH.pack(len(frame)) + frame


class Frames:
    """Cuts a stream into frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The frames that are complete now. Raises NotOurs where a frame can't be one."""
        self._rest += data
        while len(self._rest) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._rest)
            if not 0 < length <= FRAME_MAX:
                raise NotOurs(f"a frame of {length} bytes; at most {FRAME_MAX}")
            end = _LENGTH.size + length
            if len(self._rest) < end:
                return
            yield bytes(self._rest[_LENGTH.size : end])
            del self._rest[:end]
