"""The agent's end of the Unix socket: says what to hold, keeps the vip process's last report."""

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from outgate.api.view import IPAddress
from outgate.vip.errors import PeerGone
from outgate.vip.protocol import SOCKET_PATH, Held, Hold, Lines, Report, encode

log = structlog.get_logger()

RECONNECT = 1.0
"""Seconds between attempts to reach the vip process."""

RECEIVE = 1 << 16


@dataclass(frozen=True, slots=True)
class VipState:
    """What is known of the vip process.

    connected: it listens. settled: it has acted on the last word. held: its last report.
    repaired: how often it put an address back; None as long as it has not reported.
    """

    connected: bool
    settled: bool
    held: tuple[Held, ...]
    repaired: int | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """Addresses that are not held or not announced, and why."""
        return tuple(f"{one.address}: {one.error}" for one in self.held if one.error)


class VipClient:
    """Keeps the vip process told: a Task. `hold` and `state` may be called from any thread."""

    name = "vip-client"

    def __init__(self, *, path: Path = Path(SOCKET_PATH)) -> None:
        self._path = path
        self._lock = threading.Lock()
        # Numbers go on over a restart: an old report must not pass for an answer to a new word.
        self._seq = time.time_ns() // 1_000_000
        self._word: Hold | None = None
        self._report: Report | None = None
        self._connected = False
        self._subscribers: list[Callable[[], object]] = []
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)

    def hold(
        self, addresses: Iterable[IPAddress], *, interface: str, standby: bool = False
    ) -> None:
        """From now on exactly these addresses are to be held; returns before they are."""
        ordered = sorted(addresses, key=lambda address: (address.version, int(address)))
        with self._lock:
            if Hold(self._seq, tuple(map(str, ordered)), interface, standby) == self._word:
                return
            self._seq += 1
            self._word = Hold(self._seq, tuple(map(str, ordered)), interface, standby)
        with contextlib.suppress(BlockingIOError):  # it is awake already
            self._wake.send(b"x")

    def asked(self) -> bool:
        """Whether there is anything to hold."""
        with self._lock:
            return self._word is not None and bool(self._word.addresses)

    def subscribe(self, callback: Callable[[], object]) -> None:
        """Call this, in the client's thread, when `state` may have changed."""
        self._subscribers.append(callback)

    def state(self) -> VipState:
        """What the vip process last said."""
        with self._lock:
            report = self._report if self._connected else None
            return VipState(
                connected=self._connected,
                settled=report is not None and report.seq == self._seq,
                held=report.held if report else (),
                repaired=report.repaired if report else None,
            )

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
                    self._connected = False
                self._tell()
            stop.wait(RECONNECT)

    def _talk(self, vip: socket.socket, stop: threading.Event) -> None:
        lines = Lines()
        said = 0
        vip.settimeout(RECONNECT)
        with self._lock:
            self._connected, self._report = True, None
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
            if isinstance(message, Report):
                with self._lock:
                    self._report = message
                self._tell()

    def _tell(self) -> None:
        for callback in self._subscribers:
            callback()
