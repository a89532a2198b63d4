"""Streams between the vip processes of all nodes: a thin edge over TCP, which never blocks.

Each node connects to whom it has something to say, and says it by frames that are sealed one by
one; what comes in on a connection is believed frame by frame. A connection carries one direction
only. What is to be sent is an iterator, of which one piece is made each time there is room: a node
that does not read costs one piece of memory, and no other node its turn.
"""

import contextlib
import errno
import os
import select
import socket
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from outgate.api.view import IPAddress
from outgate.daemon.closing import Closing
from outgate.vip.errors import VipError
from outgate.vip.flows.errors import FrameRefused, NotOurs
from outgate.vip.flows.framing import Frames, framed

TURN = 16
"""Connections that are looked after in one turn; the kernel has the others come first next time."""

PATIENCE = 5.0
"""Seconds without any progress after which what was to be sent is given up."""

IDLE = 30.0
"""Seconds that a connection stays open with nothing to say."""

INCOMING = 4096
"""Connections that may come in at a time; the oldest gives way."""

_RECEIVE = 1 << 15
_BACKLOG = 1024


class Sealer(Protocol):
    """Proves to one receiver who sends; one frame is sealed when it is about to be sent.

    Frames wait in TCP's buffers, so a replay window must not be shared with datagrams.
    """

    def seal(self, to: str, payload: bytes) -> bytes:
        """The frame for that node. Raises FrameRefused if it has no key."""


class Opener(Protocol):
    """Believes frames, or does not."""

    def open(self, frame: bytes) -> tuple[str, bytes]:
        """The node that sent it, and what it says. Raises FrameRefused."""


@dataclass(frozen=True, slots=True)
class Received:
    """A node said this."""

    sender: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """All that was given to `send` so far is on its way; if it does not arrive, `Lost` follows."""

    to: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A stream broke, or a frame was not believed; what was waiting for that node is gone.

    peer: the node's name if it was ours to send, else the address that it came from.
    """

    peer: str
    reason: str


Event = Received | Sent | Lost


@dataclass(slots=True)
class _Outgoing:
    socket: socket.socket
    to: str
    waiting: deque[Iterator[bytes]]
    progress: float
    buffer: bytearray = field(default_factory=bytearray)
    idle: bool = False


@dataclass(slots=True)
class _Incoming:
    socket: socket.socket
    address: str
    heard: float
    frames: Frames = field(default_factory=Frames)


class Streams(Closing):
    """Listens on this node's address, in the network namespace of the thread that makes it.

    For one thread. `now` is the caller's monotonic clock. Raises OSError if it can't listen.
    """

    def __init__(self, *, address: IPAddress, port: int, sealer: Sealer, opener: Opener) -> None:
        self._sealer, self._opener = sealer, opener
        self._address, self._port = address, port
        self._out: dict[str, _Outgoing] = {}
        self._in: dict[int, _Incoming] = {}
        self._known: frozenset[str] = frozenset()
        self._paused = False
        self._listener = socket.create_server(
            (str(address), port), family=_family(address), backlog=_BACKLOG
        )
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._senders: dict[int, _Outgoing] = {}

    def fileno(self) -> int:
        """For a selector: readable when there is something to do."""
        return self._epoll.fileno()

    @property
    def port(self) -> int:
        """On which it listens, and others do."""
        return int(self._listener.getsockname()[1])

    def know(self, addresses: frozenset[IPAddress]) -> None:
        """The nodes of the mesh: of others no connection is accepted, and theirs are closed."""
        self._known = frozenset(str(address) for address in addresses)
        for incoming in list(self._in.values()):
            if incoming.address not in self._known:
                self._part(incoming)

    def send(
        self, to: str, address: IPAddress, payloads: Iterator[bytes], *, now: float, port: int = 0
    ) -> None:
        """Sends the payloads to a node, in order, behind those that it was sent before.

        b"" among them is not sent: there is nothing yet, others may have their turn.
        Raises OSError only where this process may open no more files.
        """
        out = self._out.get(to)
        if out is None:
            out = self._connect(to, address, port or self._port, now)
        if out.idle:
            out.idle, out.progress = False, now
            self._epoll.modify(out.socket, select.EPOLLIN | select.EPOLLOUT)
        out.waiting.append(payloads)

    def turn(self, *, now: float, reading: bool = True) -> list[Event]:
        """Does what can be done at once, a little for each; says what came of it.

        reading: False while the caller has no room for more; the senders wait then.
        """
        self._read(reading)
        events: list[Event] = []
        for number, mask in self._epoll.poll(0, TURN):
            if number == self._listener.fileno():
                self._accept(now)
            elif number in self._senders:
                events += self._write(self._senders[number], mask, now)
            elif number in self._in:
                events += self._hear(self._in[number], now)
        return events + self._expired(now)

    def _expired(self, now: float) -> list[Event]:
        events: list[Event] = []
        for out in list(self._out.values()):
            if out.idle and now - out.progress > IDLE:
                self._drop(out)
            elif not out.idle and now - out.progress > PATIENCE:
                self._drop(out)
                events.append(Lost(out.to, f"took nothing for {PATIENCE:g} s"))
        for incoming in list(self._in.values()):
            if not self._paused and now - incoming.heard > 2 * IDLE:
                self._part(incoming)
        return events

    def _connect(self, to: str, address: IPAddress, port: int, now: float) -> _Outgoing:
        made = socket.socket(_family(address), socket.SOCK_STREAM)
        made.setblocking(False)
        # What was written to a node that is gone by now is an error later, not never.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(PATIENCE * 1000))
        # A failure is told by epoll, like one that comes later.
        with contextlib.suppress(OSError):
            made.bind((str(self._address), 0))
            made.connect_ex((str(address), port))
        out = _Outgoing(made, to, deque(), now)
        self._out[to] = self._senders[made.fileno()] = out
        self._epoll.register(made, select.EPOLLIN | select.EPOLLOUT)
        return out

    def _write(self, out: _Outgoing, mask: int, now: float) -> list[Event]:
        try:
            # The other end says nothing: whatever can be read is the end.
            if mask & ~select.EPOLLOUT:
                return self._ended(out)
            if not out.buffer:
                payload = self._next(out)
                if payload is None:
                    out.idle, out.progress = True, now
                    self._epoll.modify(out.socket, select.EPOLLIN)
                    return [Sent(out.to)]
                if not payload:
                    out.progress = now
                    return []
                out.buffer += framed(self._sealer.seal(out.to, payload))
            sent = out.socket.send(out.buffer)
            del out.buffer[:sent]
            out.progress = now
        except BlockingIOError:
            return []
        except (OSError, VipError) as error:  # also of what was to be sent: it can't be read
            self._drop(out)
            return [Lost(out.to, str(error))]
        return []

    def _ended(self, out: _Outgoing) -> list[Event]:
        code = out.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._drop(out)
        if out.idle and not code:
            return []  # in good order: it had nothing more to hear
        return [Lost(out.to, os.strerror(code) if code else "closed by the other end")]

    @staticmethod
    def _next(out: _Outgoing) -> bytes | None:
        while out.waiting:
            payload = next(out.waiting[0], None)
            if payload is not None:
                return payload
            out.waiting.popleft()
        return None

    def _accept(self, now: float) -> None:
        try:
            made, (address, *_) = self._listener.accept()
        except OSError:
            return  # gone again, or no descriptors: the others go on
        if address not in self._known:
            made.close()
            return
        made.setblocking(False)
        while len(self._in) >= INCOMING:
            self._part(min(self._in.values(), key=lambda incoming: incoming.heard))
        self._in[made.fileno()] = _Incoming(made, address, now)
        self._epoll.register(made, 0 if self._paused else select.EPOLLIN)

    def _hear(self, incoming: _Incoming, now: float) -> list[Event]:
        events: list[Event] = []
        try:
            data = incoming.socket.recv(_RECEIVE)
            if not data:
                self._part(incoming)
                return []
            incoming.heard = now
            for frame in incoming.frames.feed(data):
                sender, payload = self._opener.open(frame)
                events.append(Received(sender, payload))
        except BlockingIOError:
            return events
        except (OSError, NotOurs, FrameRefused) as error:
            self._part(incoming)
            if not (isinstance(error, OSError) and error.errno == errno.ECONNRESET):
                events.append(Lost(incoming.address, str(error)))
        return events

    def _read(self, reading: bool) -> None:
        if self._paused == (not reading):
            return
        self._paused = not reading
        for incoming in self._in.values():
            self._epoll.modify(incoming.socket, select.EPOLLIN if reading else 0)

    def _drop(self, out: _Outgoing) -> None:
        del self._out[out.to], self._senders[out.socket.fileno()]
        self._close(out.socket)
        for payloads in out.waiting:
            close = getattr(payloads, "close", None)  # of a generator: a listing's socket
            if close is not None:
                close()

    def _part(self, incoming: _Incoming) -> None:
        del self._in[incoming.socket.fileno()]
        self._close(incoming.socket)

    def _close(self, one: socket.socket) -> None:
        self._epoll.unregister(one)
        one.close()

    def close(self) -> None:
        """Closes all connections and the listening socket."""
        for out in list(self._out.values()):
            self._drop(out)
        for incoming in list(self._in.values()):
            self._part(incoming)
        self._close(self._listener)
        self._epoll.close()


def _family(address: IPAddress) -> socket.AddressFamily:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6
