"""The vip process's loop: one thread, the Unix socket, and the holder's turns in time.

The agent may come and go: what is held stays held and announced until it says otherwise.
"""

import contextlib
import selectors
import socket
import threading
import time
from pathlib import Path

import structlog

from outgate.vip.errors import PeerGone
from outgate.vip.holder import Holder
from outgate.vip.protocol import Hold, Lines, Report, encode

log = structlog.get_logger()

RECEIVE = 1 << 16


class VipServer:
    """Listens for the agent and holds what it says: a Task."""

    name = "vip"

    def __init__(self, holder: Holder, *, path: Path) -> None:
        self._holder = holder
        self._path = path
        self._agents: dict[socket.socket, _Agent] = {}
        self._turned = False

    def ready(self) -> bool:
        """Whether the first turn was made, so that what was left behind is looked after."""
        return self._turned

    def run(self, stop: threading.Event) -> None:
        """Serves until `stop`. What is held stays in the kernel: stopping is not letting go."""
        wake, woken = socket.socketpair()
        with selectors.DefaultSelector() as selector, wake, woken, _listen(self._path) as listening:
            threading.Thread(target=_wake_on, args=(stop, wake), daemon=True).start()
            selector.register(woken, selectors.EVENT_READ)
            selector.register(listening, selectors.EVENT_READ)
            try:
                while not stop.is_set():
                    self._holder.turn(now=time.monotonic())
                    self._turned = True
                    self._tell(selector)
                    wait = max(0.0, self._holder.next_turn() - time.monotonic())
                    for key, events in selector.select(wait):
                        if key.fileobj is listening:
                            self._welcome(listening, selector)
                        elif isinstance(key.fileobj, socket.socket) and key.fileobj is not woken:
                            self._serve(key.fileobj, events, selector)
            finally:
                for agent in list(self._agents):
                    self._part(agent, selector)

    def _welcome(self, listening: socket.socket, selector: selectors.BaseSelector) -> None:
        agent, _ = listening.accept()
        agent.setblocking(False)
        self._agents[agent] = _Agent()
        selector.register(agent, selectors.EVENT_READ)

    def _serve(self, agent: socket.socket, events: int, selector: selectors.BaseSelector) -> None:
        known = self._agents[agent]
        try:
            if events & selectors.EVENT_READ:
                data = agent.recv(RECEIVE)
                if not data:
                    raise PeerGone("closed")
                for message in known.lines.feed(data):
                    if isinstance(message, Hold):
                        self._holder.hold(message)
            if events & selectors.EVENT_WRITE:
                self._flush(agent, selector)
        except (OSError, PeerGone) as error:
            log.info("agent gone, holding on", reason=str(error))
            self._part(agent, selector)

    def _tell(self, selector: selectors.BaseSelector) -> None:
        report = self._holder.report()
        line = encode(report)
        for agent, known in list(self._agents.items()):
            # One report at a time: an agent that does not read gets the newest when it does.
            if known.told != report and not known.unsent:
                known.told = report
                known.unsent = line
                try:
                    self._flush(agent, selector)
                except OSError as error:
                    log.info("agent gone, holding on", reason=str(error))
                    self._part(agent, selector)

    def _flush(self, agent: socket.socket, selector: selectors.BaseSelector) -> None:
        known = self._agents[agent]
        with contextlib.suppress(BlockingIOError):
            while known.unsent:
                known.unsent = known.unsent[agent.send(known.unsent) :]
        write = selectors.EVENT_WRITE if known.unsent else 0
        selector.modify(agent, selectors.EVENT_READ | write)

    def _part(self, agent: socket.socket, selector: selectors.BaseSelector) -> None:
        selector.unregister(agent)
        del self._agents[agent]
        agent.close()


class _Agent:
    """What one connection has said and not been told."""

    def __init__(self) -> None:
        self.lines = Lines()
        self.told: Report | None = None
        self.unsent = b""


def _listen(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A former process of ours left it; a second living one cannot be: it is one pod per node.
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    path.chmod(0o600)
    listening.listen()
    return listening


def _wake_on(stop: threading.Event, wake: socket.socket) -> None:
    stop.wait()
    with contextlib.suppress(OSError):  # the loop has ended first
        wake.send(b"x")
