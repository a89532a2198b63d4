"""Something that is said in one datagram or several, the same to all who hear it. Pure."""

from collections.abc import Callable
from functools import cached_property

from outgate.vip.peer.parts import cut
from outgate.vip.peer.seal import BODY_MAX, Piece, piece


class Message:
    """A message, by the number that its parts, and answers to it, name; 0 if nobody needs one.

    encode: makes its bytes, when they are first needed.
    """

    def __init__(self, number: int, encode: Callable[[], bytes]) -> None:
        self.number = number
        self._encode = encode

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """Its parts; one, if it is empty."""
        return tuple(piece(part) for part in cut(self._encode(), size=BODY_MAX))


EMPTY = Message(0, bytes)
"""For what its kind alone says."""
