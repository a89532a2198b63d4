"""What people should know, kept for the agent to tell: the last few, numbered."""

from collections import deque
from collections.abc import Iterable

from outgate.api.view import IPAddress
from outgate.vip.protocol import Note

KEPT = 64
"""Notes that an agent which was away still hears of."""

ADDRESSES = 8
"""Of one note; the detail says how many there were."""


class Notes:
    """The last notes. wall: Unix time at 0 of the clock that `now` is of."""

    def __init__(self, *, wall: float) -> None:
        self._wall = wall
        self.number = 0
        self._kept: deque[Note] = deque(maxlen=KEPT)

    def add(
        self,
        gateway: str,
        what: str,
        addresses: Iterable[IPAddress] = (),
        *,
        detail: str = "",
        now: float,
    ) -> Note:
        """One more."""
        self.number += 1
        ordered = sorted(addresses, key=lambda one: (one.version, int(one)))
        named = tuple(str(address) for address in ordered[:ADDRESSES])
        if len(ordered) > ADDRESSES:
            detail = (
                f"{len(ordered)} addresses; {detail}" if detail else f"{len(ordered)} addresses"
            )
        note = Note(self.number, round(self._wall + now, 3), gateway, what, named, detail)
        self._kept.append(note)
        return note

    def last(self) -> tuple[Note, ...]:
        """Those that are kept, oldest first."""
        return tuple(self._kept)
