"""The gate's sockets to nf_tables: transactions of elements, dumps, the ruleset's generation."""

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence

from outgate.daemon.netlink import NETFILTER, Netlink
from outgate.vip.gate import messages
from outgate.vip.gate.model import Change, Family

_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h; need CAP_NET_ADMIN
_BUFFER = 8 << 20  # bytes: a transaction of some ten thousand addresses
_HEADER = struct.Struct("=IHHII")
_ERROR = 2
_GENERATION_NUMBER = 1  # NFTA_GEN_ID

Place = tuple[Family, str, bytes]
"""Where an element is: its set's family and name, and its key."""


class Refused(Exception):
    """The kernel did not take a transaction. code: errno; change: index of the first to blame, or
    -1 if it is the whole."""

    def __init__(self, code: int, change: int) -> None:
        super().__init__(os.strerror(code))
        self.code, self.change = code, change


class Channel:
    """Of the network namespace of the thread that makes it; for one thread at a time.

    Raises OSError where the kernel does not answer.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETFILTER
        )
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._socket.bind((0, 0))
        self._dumps = Netlink(NETFILTER)
        self._serial = 1

    def commit(self, changes: Sequence[Change]) -> None:
        """All of them, or none. Raises Refused."""
        if not changes:
            return
        first = self._serial
        data, of = messages.batch(changes, serial=first)
        self._serial = (first + len(of) + 2) & 0x3FFFFFFF
        self._socket.send(data)
        # The kernel has done it, and answered, when `send` returns.
        acknowledged = False
        refused: Refused | None = None
        for kind, serial, payload in self._answers():
            if kind == _ERROR:
                (code,) = struct.unpack_from("=i", payload)
                index = serial - first - 1
                if code and refused is None:
                    refused = Refused(-code, of[index] if 0 <= index < len(of) else -1)
                acknowledged = acknowledged or index == len(of) - 1
        if refused:
            raise refused
        if not acknowledged:
            raise OSError("nf_tables did not answer")

    def left(self, places: Sequence[Place]) -> tuple[int, ...]:
        """Milliseconds that each of these elements still lives; 0: it is not there."""
        first, self._serial = self._serial, self._serial + len(places)
        self._socket.send(messages.element_requests(places, serial=first))
        found = dict.fromkeys(range(first, self._serial), 0)
        for kind, serial, payload in self._answers():
            if kind == _ERROR:
                (code,) = struct.unpack_from("=i", payload)
                if code != -errno.ENOENT:
                    raise OSError(-code, os.strerror(-code))
            elif kind == messages.NEW_ELEMENTS and serial in found:
                found[serial] = next(messages.elements(payload)).timeout
        return tuple(found.values())

    def generation(self) -> int:
        """The number of the host's ruleset: one more after each transaction, whoever's it is."""
        request = messages.generation_request()
        length = _HEADER.size + len(request)
        serial, self._serial = self._serial, self._serial + 1
        self._socket.send(_HEADER.pack(length, messages.GET_GENERATION, 1, serial, 0) + request)
        for kind, _, payload in self._answers():
            if kind == messages.NEW_GENERATION:
                return int.from_bytes(messages.body(payload)[_GENERATION_NUMBER], "big")
        raise OSError("nf_tables did not tell its generation")

    def dump(self, kind: int, request: bytes) -> Iterator[bytes]:
        """What each message of the answer carries."""
        return self._dumps.dump(kind, request)

    def close(self) -> None:
        """Closes the sockets."""
        self._socket.close()
        self._dumps.close()

    def _answers(self) -> Iterator[tuple[int, int, bytes]]:
        while True:
            try:
                data = self._socket.recv(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            at = 0
            while at + _HEADER.size <= len(data):
                length, kind, _, serial, _ = _HEADER.unpack_from(data, at)
                yield kind, serial, data[at + _HEADER.size : at + length]
                at += (length + 3) & ~3
