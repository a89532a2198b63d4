"""Proves the frames of streams between nodes, by the keys of the datagrams. Pure.

    magic, proofs, boot, counter, echo, receiver, length and text of the sender's name
    the keys' ids, the proofs, the payload

As `outgate.vip.peer`: an HMAC over all of it, for one receiver, of one boot of it (`echo`), each
counter once. A connection keeps the order of its frames, and a node has one connection to another,
so the counter only has to rise.
"""

import hashlib
import struct
from collections.abc import Callable
from hmac import compare_digest

from outgate.vip.flows.errors import FrameRefused
from outgate.vip.peer.keys import ACTIVE_MAX, ID_MAX, PROOF, Keys
from outgate.vip.peer.seal import identity

MAGIC = b"OGS\x01"
_HEADER = struct.Struct("!4sBQQQ16sB")


class StreamSeal:
    """Both the `Sealer` and the `Opener` of this node's streams.

    keys: those of now. boot_of: the boot of another node as it is known, 0 if it is not.
    """

    def __init__(
        self, node: str, *, boot: int, keys: Callable[[], Keys], boot_of: Callable[[str], int]
    ) -> None:
        self._node, self._boot = node.encode(), boot
        self._keys, self._boot_of = keys, boot_of
        self._identity = identity(node)
        self._counter = 0
        self._last: dict[str, tuple[int, int]] = {}

    def boot_of(self, node: str) -> int:
        """The life of a node to which frames can be proven: it has said hello. 0 of others."""
        return self._boot_of(node)

    def seal(self, to: str, payload: bytes) -> bytes:
        """The frame for that node. Raises FrameRefused if there is no key, or it is not met yet."""
        active, echo = self._keys().active, self._boot_of(to)
        if not active or not echo:
            raise FrameRefused(f"{to}: no key to prove a frame with, or it has not said hello")
        self._counter += 1
        header = _HEADER.pack(
            MAGIC,
            len(active),
            self._boot,
            self._counter,
            echo,
            identity(to),
            len(self._node),
        )
        head = header + self._node + b"".join(key.label for key in active)
        message = head + hashlib.sha256(payload).digest()
        return head + b"".join(key.prove(message) for key in active) + payload

    def open(self, frame: bytes) -> tuple[str, bytes]:
        """The node that sent it, and what it says. Raises FrameRefused."""
        if len(frame) < _HEADER.size:
            raise FrameRefused("a frame without a header")
        magic, count, boot, counter, echo, receiver, length = _HEADER.unpack_from(frame)
        labels = _HEADER.size + length
        proofs = labels + count * ID_MAX
        end = proofs + count * PROOF
        if magic != MAGIC or not 1 <= count <= ACTIVE_MAX or len(frame) < end:
            raise FrameRefused("a frame that is none of ours")
        if receiver != self._identity or echo != self._boot:
            raise FrameRefused("a frame for another node, or an earlier life of this one")
        payload = frame[end:]
        self._prove(frame, labels, proofs, end, hashlib.sha256(payload).digest())
        sender = frame[_HEADER.size : labels].decode(errors="replace")
        if (boot, counter) <= self._last.get(sender, (0, 0)):
            raise FrameRefused(f"{sender}: a frame that came before")
        self._last[sender] = boot, counter
        return sender, payload

    def _prove(self, frame: bytes, labels: int, proofs: int, end: int, digest: bytes) -> None:
        message = frame[:proofs] + digest
        known = self._keys().by_label
        found = False
        for number in range((end - proofs) // PROOF):
            label = frame[labels + number * ID_MAX : labels + (number + 1) * ID_MAX]
            proof = frame[proofs + number * PROOF : proofs + (number + 1) * PROOF]
            if (key := known.get(label)) is not None:
                found = True
                if not compare_digest(proof, key.prove(message)):
                    raise FrameRefused("a forged frame")
        if not found:
            raise FrameRefused("a frame by a key that is unknown here")
