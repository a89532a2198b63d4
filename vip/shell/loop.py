"""The vip process' one thread: waits for sockets and for time, and lets the driver do the rest."""

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import structlog

from outgate.api.view import IPAddress
from outgate.daemon import realtime
from outgate.vip.engine.events import Event, Restarting
from outgate.vip.errors import PeerGone
from outgate.vip.flows.streams import Streams
from outgate.vip.peer.errors import SocketRefused
from outgate.vip.peer.keyring import Keyring
from outgate.vip.peer.udp import PeerSocket
from outgate.vip.peer.words import Datagram
from outgate.vip.protocol import Word
from outgate.vip.shell.agents import Agents, Ready
from outgate.vip.shell.driver import Driver
from outgate.vip.shell.handover import Handover
from outgate.vip.shell.sealing import StreamSeal
from outgate.vip.shell.word_file import WordFile

log = structlog.get_logger()

EACH = 1.0
"""Seconds between looks at what says nothing when it changes: the keys, a socket that failed."""

FAREWELL = 3.0
"""Seconds that a process which is to end waits for others to know; longer than the engine does."""


class Answers(Protocol):
    """Where answers of the API server come from: `LeaseClient`."""

    def fileno(self) -> int:
        """Readable when there are some."""

    def take(self) -> Iterable[Event]:
        """What has come since, without waiting."""

    def close(self) -> None:
        """Asks nothing any more."""


class Ears(Protocol):
    """What hears the segment: `SegmentEdge`. The driver's turn does the hearing."""

    def fileno(self) -> int:
        """Readable when there is something to hear."""

    def close(self) -> None:
        """Closes the sockets."""


class Speaker:
    """The socket to the other nodes, as soon as it is known where this node is."""

    def __init__(self, *, port: int) -> None:
        self.port = port
        self._address: IPAddress | None = None
        self.socket: PeerSocket | None = None
        self._error = ""

    def send(self, datagrams: Iterable[Datagram]) -> int:
        """Sends each; how many left."""
        return self.socket.send(datagrams) if self.socket is not None else 0

    def is_at(self, address: IPAddress | None) -> bool:
        """Whether there is nothing to be done for it to speak from there."""
        return address == self._address and (address is None or self.socket is not None)

    def be_at(self, address: IPAddress | None) -> bool:
        """Speaks from there from now on; whether the socket is another now."""
        if self.socket is not None and address == self._address:
            return False
        before = self.socket
        self.close()
        self._address = address
        if address is not None:
            try:
                self.socket = PeerSocket(address, port=self.port)
            except SocketRefused as error:
                if str(error) != self._error:
                    log.error("other nodes not reachable", error=str(error))
                self._error = str(error)
            else:
                self._error = ""
        return self.socket is not before

    def close(self) -> None:
        """Closes the socket."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None


class VipLoop:
    """Serves until it is stopped: a Task.

    What is held stays in the kernel for as long as the others were told that it would; a process
    that follows within that time goes on with it.
    """

    name = "vip"

    def __init__(
        self,
        driver: Driver,
        *,
        speaker: Speaker,
        keyring: Keyring,
        words: WordFile,
        path: Path,
        leases: Answers,
        segment: Ears,
    ) -> None:
        self._driver, self._speaker, self._keyring = driver, speaker, keyring
        self._words, self._path = words, path
        self._leases, self._segment = leases, segment
        self._selector = selectors.DefaultSelector()
        self._looked = float("-inf")
        self._begun = False

    def ready(self) -> bool:
        """Whether what was left behind is looked after."""
        return self._begun

    def run(self, stop: threading.Event) -> None:
        """One turn after the other; at the end, others are told that another process follows."""
        self._driver.realtime = realtime.is_on()
        wake, woken = socket.socketpair()
        with self._selector, wake, woken:
            threading.Thread(target=_wake_on, args=(stop, wake), daemon=True).start()
            self._selector.register(woken, selectors.EVENT_READ, lambda _: None)
            self._remember()
            agents = Agents(self._path, self._selector, self._take)
            self._selector.register(self._leases.fileno(), selectors.EVENT_READ, self._answered)
            self._selector.register(self._segment.fileno(), selectors.EVENT_READ, lambda _: None)
            try:
                while not stop.is_set():
                    self._turn(agents)
                self._selector.unregister(woken)
                self._part(agents)
            finally:
                agents.close()
                self._hand_over_at(None)
                self._speaker.close()

    def _turn(self, agents: Agents, *, most: float = EACH) -> None:
        now = time.monotonic()
        if now >= self._looked + EACH:
            self._looked = now
            self._look()
        self._driver.turn(now=now)
        agents.tell(self._driver.report(now=now), self._driver.numbers(now=now))
        self._begun = True
        wait = min(self._driver.next_turn() - time.monotonic(), most)
        for key, events in self._selector.select(max(0.0, wait)):
            ready: Ready = key.data
            ready(events)

    def _part(self, agents: Agents) -> None:
        """Lets the others know, so that the next process finds what this one leaves."""
        now = time.monotonic()
        if not self._driver.claims.own:
            return
        self._driver.happen(Restarting(), now=now)
        until = now + FAREWELL
        while self._driver.here.ready_to_restart is None and time.monotonic() < until:
            self._turn(agents, most=0.1)
        log.info("ended", addresses=len(self._driver.claims.own))

    def _remember(self) -> None:
        """Takes the last word that a former process heard."""
        last = self._words.read()
        try:
            if last is not None:
                self._take(last)
        except PeerGone as error:
            log.warning("last word not taken", error=str(error))

    def _take(self, word: Word) -> None:
        self._driver.told(word, now=time.monotonic())
        self._words.write(word)
        self._look()

    def _look(self) -> None:
        codec, word = self._driver.here.codec, self._driver.here.word
        if codec is None or word is None:
            return
        if self._keyring.refresh() and self._keyring.error:
            log.error("keys not taken", error=self._keyring.error)
        codec.keys = self._keyring.keys
        own = self._driver.underlay()
        if self._speaker.is_at(own):
            return
        if self._speaker.socket is not None:
            self._selector.unregister(self._speaker.socket)
        if self._speaker.be_at(own):
            self._hand_over_at(own)
        if self._speaker.socket is not None:
            self._selector.register(self._speaker.socket, selectors.EVENT_READ, self._hear)

    def _hand_over_at(self, address: IPAddress | None) -> None:
        """Streams from where the datagrams are from."""
        driver = self._driver
        if driver.here.handover is not None:
            self._selector.unregister(driver.here.handover.fileno())
            driver.here.handover.close()
            driver.here.handover = None
        codec = driver.here.codec
        if address is None or self._speaker.socket is None or codec is None:
            return
        seal = StreamSeal(
            codec.node, boot=codec.boot, keys=lambda: codec.keys, boot_of=codec.boot_of
        )
        try:
            streams = Streams(address=address, port=self._speaker.port, sealer=seal, opener=seal)
        except OSError as error:
            log.error("flows can't be handed over", address=str(address), error=str(error))
            return
        driver.here.handover = Handover(streams, seal)
        driver.inform()
        self._selector.register(driver.here.handover.fileno(), selectors.EVENT_READ, lambda _: None)

    def _hear(self, _: int) -> None:
        if self._speaker.socket is not None:
            for data, source in self._speaker.socket.receive():
                self._driver.heard(data, source, now=time.monotonic())

    def _answered(self, _: int) -> None:
        for event in self._leases.take():
            self._driver.happen(event, now=time.monotonic())

    def close(self) -> None:
        """Closes what it was given."""
        self._leases.close()
        self._segment.close()


def _wake_on(stop: threading.Event, wake: socket.socket) -> None:
    stop.wait()
    with contextlib.suppress(OSError):  # the loop has ended first
        wake.send(b"x")
