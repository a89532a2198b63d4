"""The Unix socket that the agent talks to. It may come and go: what is held stays held."""

import contextlib
import selectors
import socket
from collections.abc import Callable
from pathlib import Path

import structlog

from outgate.vip.errors import PeerGone
from outgate.vip.protocol import Lines, Numbers, Report, Word, encode

log = structlog.get_logger()

RECEIVE = 1 << 16

Ready = Callable[[int], None]
"""What a file in the selector is registered with: called with the events that it is ready for."""


class Agents:
    """All connections, most of the time one. take: what to do with a word; may raise PeerGone."""

    def __init__(
        self, path: Path, selector: selectors.BaseSelector, take: Callable[[Word], None]
    ) -> None:
        self._selector, self._take = selector, take
        self._connections: dict[socket.socket, _Connection] = {}
        self._listening = _listen(path)
        selector.register(self._listening, selectors.EVENT_READ, self._welcome)

    def tell(self, *messages: Report | Numbers) -> None:
        """Says them to all who have not heard just that."""
        lines: dict[type, bytes] = {}
        for agent, known in list(self._connections.items()):
            # One of each at a time: an agent that does not read gets the newest when it does.
            if known.unsent:
                continue
            for message in messages:
                told, kind = known.told.get(type(message)), type(message)
                if told is message or told == message:
                    continue
                if kind not in lines:
                    lines[kind] = encode(message)
                known.told[kind] = message
                known.unsent += lines[kind]
            if known.unsent:
                try:
                    self._flush(agent)
                except OSError as error:
                    self._part(agent, error)

    def close(self) -> None:
        """Closes all sockets."""
        for agent in list(self._connections):
            self._part(agent)
        self._selector.unregister(self._listening)
        self._listening.close()

    def _welcome(self, _: int) -> None:
        agent, _address = self._listening.accept()
        agent.setblocking(False)
        self._connections[agent] = _Connection()
        self._selector.register(
            agent, selectors.EVENT_READ, lambda events: self._serve(agent, events)
        )

    def _serve(self, agent: socket.socket, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                data = agent.recv(RECEIVE)
                if not data:
                    raise PeerGone("closed")
                for message in self._connections[agent].lines.feed(data):
                    if isinstance(message, Word):
                        self._take(message)
            if events & selectors.EVENT_WRITE:
                self._flush(agent)
        except (OSError, PeerGone) as error:
            self._part(agent, error)

    def _flush(self, agent: socket.socket) -> None:
        known = self._connections[agent]
        with contextlib.suppress(BlockingIOError):
            while known.unsent:
                known.unsent = known.unsent[agent.send(known.unsent) :]
        write = selectors.EVENT_WRITE if known.unsent else 0
        ready = self._selector.get_key(agent).data
        self._selector.modify(agent, selectors.EVENT_READ | write, ready)

    def _part(self, agent: socket.socket, error: Exception | None = None) -> None:
        if error is not None:
            log.info("agent gone, holding on", reason=str(error))
        self._selector.unregister(agent)
        del self._connections[agent]
        agent.close()


class _Connection:
    """What one connection has said and not been told."""

    def __init__(self) -> None:
        self.lines = Lines()
        self.told: dict[type, Report | Numbers] = {}
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
