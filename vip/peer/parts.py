"""Messages larger than a datagram: cut, and put together in whatever order the parts come. Pure."""

from collections.abc import Iterable

PARTS_MAX = 512
"""Of one message: half a megabyte."""
UNFINISHED_MAX = 64
"""Messages of one sender that are waited for at once: the oldest is given up for another."""


def cut(data: bytes, *, size: int) -> tuple[bytes, ...]:
    """The data in parts of at most `size` bytes; one, if there is nothing."""
    return tuple(data[i : i + size] for i in range(0, len(data), size)) or (b"",)


class Assembly:
    """The messages of one sender that have come in part, by their numbers."""

    def __init__(self) -> None:
        self._unfinished: dict[int, list[bytes | None]] = {}

    def add(self, number: int, part: int, parts: int, data: bytes) -> bytes | None:
        """Takes a part; the message, if it was the last that was missing. Raises ValueError."""
        if not 0 <= part < parts <= PARTS_MAX:
            raise ValueError(f"part {part} of {parts}")
        if parts == 1:
            return data
        pieces = self._unfinished.get(number)
        if pieces is None:
            while len(self._unfinished) >= UNFINISHED_MAX:
                del self._unfinished[next(iter(self._unfinished))]
            pieces = self._unfinished[number] = [None] * parts
        if len(pieces) != parts:
            raise ValueError(f"part {part} of {parts}, not of {len(pieces)}")
        pieces[part] = data
        came = [piece for piece in pieces if piece is not None]
        if len(came) < parts:
            return None
        del self._unfinished[number]
        return b"".join(came)

    def missing(self, number: int) -> tuple[int, ...]:
        """Which parts have not come; () if none has."""
        pieces = self._unfinished.get(number, [])
        return tuple(index for index, piece in enumerate(pieces) if piece is None)

    def forget(self, numbers: Iterable[int]) -> None:
        """Nobody waits for these any more."""
        for number in numbers:
            self._unfinished.pop(number, None)
