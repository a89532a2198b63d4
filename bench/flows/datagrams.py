"""Very many UDP flows of two pods: opened one by one, then spoken to by the server, all of them.

A flow is a port of a pod and one of the server's. What the server sends finds the pod only by what
gateway and node know of the flow: its ports say nothing meanwhile.
"""

import selectors
import socket
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from outgate.daemon.closing import Closing
from outgate.lab import netns

BATCH = 100
"""Datagrams under way at once: as many fit into any socket's buffer."""

PATIENCE = 5.0
"""Seconds without a datagram after which no more are waited for."""

STREAM = 2.1
"""Seconds after which a flow that is spoken to again is kept for 120 s, not for 30: the kernel's
`nf_conntrack_udp_timeout_stream`, and its 2 s."""


@dataclass(frozen=True, slots=True)
class Ports:
    """So many, from this one on, of an address in a namespace."""

    namespace: Path
    first: int
    count: int
    address: str = ""


class Datagrams(Closing):
    """The flows, from when all of them stand. Raises RuntimeError if one does not come to."""

    def __init__(self, pods: Sequence[Ports], server: Ports) -> None:
        self._server = _sockets(server)
        self._pods = [made for one in pods for made in _sockets(one)]
        self._to = [(server.address, server.first + number) for number in range(server.count)]
        # By number: that of the pod's socket times the server's ports, plus that of the server's.
        self._seen: dict[int, tuple[str, int]] = {}
        self._speak()
        time.sleep(STREAM)
        self._speak()

    def __len__(self) -> int:
        return len(self._pods) * len(self._server)

    @property
    def changed(self) -> int:
        """How many the outside sees with another port than their pod's."""
        own = [made.getsockname()[1] for made in self._pods]
        return sum(port != own[n // len(self._server)] for n, (_, port) in self._seen.items())

    def push(self) -> int:
        """The server speaks to each, at the address and port that it saw; how many heard it."""
        return sum(1 for _ in self._exchange(self._push, self._pods))

    def close(self) -> None:
        """Close all sockets."""
        for made in (*self._pods, *self._server):
            made.close()

    def _speak(self) -> None:
        """Each says something, and is answered."""
        for number, peer in self._exchange(self._say, self._server):
            self._seen[number] = peer
        if len(self._seen) < len(self) or self.push() < len(self):
            raise RuntimeError(f"of {len(self)} flows {len(self._seen)} stand")

    def _say(self, number: int) -> None:
        pod, server = divmod(number, len(self._server))
        self._pods[pod].sendto(b"%d" % number, self._to[server])

    def _push(self, number: int) -> None:
        self._server[number % len(self._server)].sendto(b"%d" % number, self._seen[number])

    def _exchange(
        self, send: Callable[[int], None], ends: Sequence[socket.socket]
    ) -> Iterator[tuple[int, tuple[str, int]]]:
        """Sends one of each flow; what comes to these ends, and from where."""
        heard = 0
        with selectors.DefaultSelector() as selector:
            for end in ends:
                selector.register(end, selectors.EVENT_READ)
            for start in range(0, len(self), BATCH):
                numbers = range(start, min(start + BATCH, len(self)))
                for number in numbers:
                    send(number)
                heard += yield from _hear(selector, len(numbers), wait=0.05)
            yield from _hear(selector, len(self) - heard, wait=PATIENCE)


def _sockets(ports: Ports) -> list[socket.socket]:
    def make(port: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((ports.address, port))
        made.setblocking(False)
        return made

    numbers = range(ports.first, ports.first + ports.count)
    return netns.inside(ports.namespace, lambda: [make(number) for number in numbers])


def _hear(
    selector: selectors.BaseSelector, most: int, *, wait: float
) -> Generator[tuple[int, tuple[str, int]], None, int]:
    """What comes, until so much has, or nothing does for that time; how much it was."""
    count = 0
    while count < most and (ready := selector.select(wait)):
        for key, _ in ready:
            assert isinstance(key.fileobj, socket.socket)
            said, peer = key.fileobj.recvfrom(64)
            count += 1
            yield int(said), peer
    return count
