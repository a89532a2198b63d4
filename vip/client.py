"""The agent's end of the Unix socket: says what there is to settle, keeps the last report."""

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from outgate.vip.errors import PeerGone
from outgate.vip.protocol import SOCKET_PATH, Lines, Numbers, Report, Word, encode

log = structlog.get_logger()

RECONNECT = 1.0
"""Seconds between attempts to reach the vip process."""

RECEIVE = 1 << 16


@dataclass(frozen=True, slots=True)
class VipState:
    """What is known of the vip process.

    connected: it listens. settled: it has acted on the last word. report: the last one, if any,
    be it of a process that has gone since. numbers: the last ones of the process that listens.
    """

    connected: bool
    settled: bool
    report: Report | None = None
    numbers: Numbers | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """Addresses that are not held or not announced, and why."""
        held = self.report.held if self.report else ()
        return tuple(f"{one.address}: {one.error}" for one in held if one.error)


class VipClient:
    """Keeps the vip process told: a Task. `tell` and `state` may be called from any thread."""

    name = "vip-client"

    def __init__(self, *, path: Path = Path(SOCKET_PATH)) -> None:
        self._path = path
        self._lock = threading.Lock()
        # Numbers go on over a restart: an old report must not pass for an answer to a new word.
        self._seq = time.time_ns() // 1_000_000
        self._plain: Word | None = None
        self._unfit: dict[str, str] = {}
        self._word: Word | None = None
        self._report: Report | None = None
        self._numbers: Numbers | None = None
        self._answered = False  # by the process that listens now
        self._connected = False
        self._subscribers: list[Callable[[], object]] = []
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)

    def tell(self, word: Word) -> None:
        """What there is to settle with the other nodes, from now on; returns before it is."""
        with self._lock:
            self._plain = word
            self._renew()

    def unfit(self, why: Mapping[str, str]) -> None:
        """By gateway, why this node can't serve it now; replaces the last word on that."""
        with self._lock:
            self._unfit = dict(why)
            self._renew()

    def _renew(self) -> None:
        if self._plain is None:
            return
        groups = tuple(
            msgspec.structs.replace(group, unfit=self._unfit.get(group.gateway, ""))
            for group in self._plain.groups
        )
        word = msgspec.structs.replace(self._plain, seq=self._seq, groups=groups)
        if word == self._word:
            return
        self._seq += 1
        self._word = msgspec.structs.replace(word, seq=self._seq)
        with contextlib.suppress(BlockingIOError):  # it is awake already
            self._wake.send(b"x")

    def asked(self) -> bool:
        """Whether there is anything to hold."""
        with self._lock:
            return self._word is not None and any(group.addresses for group in self._word.groups)

    def subscribe(self, callback: Callable[[], object]) -> None:
        """Call this, in the client's thread, when `state` may have changed."""
        self._subscribers.append(callback)

    def state(self) -> VipState:
        """What the vip process last said."""
        with self._lock:
            report = self._report
            settled = self._answered and report is not None and report.seq == self._seq
            return VipState(self._connected, settled, report, self._numbers)

    def ready(self) -> bool:
        """Whether there is nothing to hold, or it is held."""
        state = self.state()
        return not self.asked() or (state.settled and not state.problems)

    def run(self, stop: threading.Event) -> None:
        """Connects, says, listens; again whenever the vip process comes back."""
        reported = False
        while not stop.is_set():
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as vip:
                    vip.connect(str(self._path))
                    log.info("vip process reached")
                    reported = False
                    self._talk(vip, stop)
            except (OSError, PeerGone) as error:
                if not reported:
                    log.warning("vip process away", path=str(self._path), error=str(error))
                    reported = True
            finally:
                with self._lock:
                    self._connected = self._answered = False
                    self._numbers = None
                self._notify()
            stop.wait(RECONNECT)

    def _talk(self, vip: socket.socket, stop: threading.Event) -> None:
        lines = Lines()
        said = 0
        vip.settimeout(RECONNECT)
        with self._lock:
            self._connected = True
        with selectors.DefaultSelector() as selector:
            selector.register(vip, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not stop.is_set():
                with self._lock:
                    word = self._word
                if word is not None and word.seq > said:
                    vip.sendall(encode(word))
                    said = word.seq
                for key, _ in selector.select(RECONNECT):
                    if key.fileobj is self._woken:
                        self._woken.recv(RECEIVE)
                    else:
                        self._listen(vip, lines)

    def _listen(self, vip: socket.socket, lines: Lines) -> None:
        data = vip.recv(RECEIVE)
        if not data:
            raise PeerGone("closed")
        for message in lines.feed(data):
            if isinstance(message, Numbers):
                with self._lock:
                    self._numbers = message
            elif isinstance(message, Report):
                with self._lock:
                    # One that has just started knows nothing yet: what is known stays so long.
                    if message.knows or self._report is None:
                        self._report = message
                        self._answered = message.seq == self._seq
                self._notify()

    def _notify(self) -> None:
        for callback in self._subscribers:
            callback()
