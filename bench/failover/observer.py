"""The process that probes, every 10 ms, from outside of all that is measured.

A process of its own, so that nothing else that the benchmark does makes it late. It reads its plan
(JSON) from the command line, writes a record for each thing that happens, and ends with its parent.
"""

import contextlib
import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum, StrEnum
from ipaddress import ip_address
from pathlib import Path

from bench.failover import frames
from outgate.lab import netns

PRIORITY = 2
"""Of a real-time process, above `outgate-vip`, which is one, too: an instrument must not wait for
what it measures. It takes some 5 % of a CPU."""

INTERVAL = 0.01  # issue 5, Figures: a 10 ms probe
RECORD = struct.Struct("=BBxxId16s")
"""What, of which series, which probe, when, and who: a number of 16 bytes."""
_MOST = 2048

Reader = Callable[[bytes, tuple[object, ...]], None]


class How(StrEnum):
    """The ways to ask. ARP: who has the address? (IPv6: neighbour solicitations.) PING: ICMP echo,
    IPv4 only. UDP: a datagram to a server of ours, which notes the source and sends it back.
    """

    ARP = "arp"
    PING = "ping"
    UDP = "udp"


class What(IntEnum):
    """The kinds of records."""

    SENT = 0
    ANSWERED = 1
    SEEN = 2


@dataclass(frozen=True, slots=True)
class Probe:
    """One series. namespace: from where; target: whom, its family is the series'. source: who asks
    who has it.

    server: the namespace of the server, port: its own one there, both for UDP only.
    """

    how: How
    namespace: str
    target: str
    source: str = ""
    server: str = ""
    port: int = 0


def plan(probes: Sequence[Probe]) -> str:
    """The argument of the process."""
    return json.dumps([asdict(probe) for probe in probes])


class _Series:
    """A probe's sockets and its count."""

    def __init__(self, index: int, probe: Probe, note: Callable[..., None]) -> None:
        self._index = index
        self._probe = probe
        self._note = note
        self._number = -1
        self._target = ip_address(probe.target)
        self._family = socket.AF_INET if self._target.version == 4 else socket.AF_INET6
        self._identity = (os.getpid() + index) & 0xFFFF
        self._request: tuple[bytes, ...] = ()
        self._open = {
            How.ARP: self._open_arp,
            How.PING: self._open_ping,
            How.UDP: self._open_udp,
        }[probe.how]
        self.readers: dict[socket.socket, Reader] = {}
        self._socket = self._open()
        for each in self.readers:
            each.setblocking(False)

    def send(self) -> None:
        """The next probe. One that cannot even leave is one that is not answered."""
        self._number += 1
        self._note(What.SENT, self._index, self._number, 0)
        match self._probe.how:
            case How.ARP:
                contents = self._request
            case How.PING:
                contents = (frames.echo_request(self._identity, self._number),)
            case How.UDP:
                contents = (frames.datagram(self._index, self._number),)
        with contextlib.suppress(OSError):
            for content in contents:
                self._socket.send(content)

    def _made(self, kind: int, protocol: int, *, family: int | None = None) -> socket.socket:
        family = self._family if family is None else family
        return netns.open_socket(Path(self._probe.namespace), family, kind, protocol)

    def _open_arp(self) -> socket.socket:
        type_ = frames.ETH_P_ARP if self._target.version == 4 else frames.ETH_P_IPV6
        made = self._made(socket.SOCK_RAW, socket.htons(type_), family=socket.AF_PACKET)
        made.bind(("eth0", type_))
        self._request = frames.who_has(
            mac=made.getsockname()[4], source=ip_address(self._probe.source), target=self._target
        )
        self.readers[made] = self._is_at
        return made

    def _open_ping(self) -> socket.socket:
        made = self._made(socket.SOCK_RAW, socket.IPPROTO_ICMP)
        made.connect((self._probe.target, 0))
        self.readers[made] = self._pong
        return made

    def _open_udp(self) -> socket.socket:
        server = netns.open_socket(Path(self._probe.server), self._family, socket.SOCK_DGRAM)
        server.bind((self._probe.target, self._probe.port))
        made = self._made(socket.SOCK_DGRAM, 0)
        made.connect((self._probe.target, self._probe.port))
        self.readers[made] = self._returned
        self.readers[server] = lambda content, peer: self._arrived(server, content, peer)
        return made

    def _is_at(self, content: bytes, peer: tuple[object, ...]) -> None:
        found = frames.is_at(content)
        if found is not None and found.address == self._target:
            # an answer does not say to which request: to the last one
            self._note(What.ANSWERED, self._index, self._number, found.mac)

    def _pong(self, content: bytes, peer: tuple[object, ...]) -> None:
        number = frames.echo_reply(content, self._identity, self._number)
        if number is not None:
            self._note(What.ANSWERED, self._index, number, int(self._target))

    def _returned(self, content: bytes, peer: tuple[object, ...]) -> None:
        read = frames.read_datagram(content)
        if read is not None and read[0] == self._index:
            self._note(What.ANSWERED, self._index, read[1], int(self._target))

    def _arrived(self, server: socket.socket, content: bytes, peer: tuple[object, ...]) -> None:
        read = frames.read_datagram(content)
        if read is not None and read[0] == self._index:
            self._note(What.SEEN, self._index, read[1], int(ip_address(str(peer[0]))))
            server.sendto(content, peer)


def observe(probes: Sequence[Probe], write: Callable[[bytes], object]) -> None:
    """Probe until the parent is gone."""

    def note(what: What, index: int, number: int, who: int) -> None:
        pending.append(RECORD.pack(what, index, number, time.monotonic(), who.to_bytes(16)))

    pending: list[bytes] = []
    series = [_Series(index, probe, note) for index, probe in enumerate(probes)]
    readers = {s.fileno(): (s, read) for one in series for s, read in one.readers.items()}
    poller = select.epoll()
    for descriptor in readers:
        poller.register(descriptor, select.EPOLLIN)
    parent, turn = os.getppid(), time.monotonic()
    while os.getppid() == parent:
        left = max(turn - time.monotonic(), 0.0)
        # also when it is late: an answer that has come must not count for the next question
        for descriptor, _ in poller.poll(left):
            _drain(*readers[descriptor])
        if time.monotonic() >= turn:
            for one in series:
                one.send()
            # what was missed is not sent at once: an answer would not be told from the next one's
            turn = max(turn + INTERVAL, time.monotonic() + INTERVAL / 2)
            write(b"".join(pending))
            pending.clear()


def _drain(reader: socket.socket, read: Reader) -> None:
    """All that has come by now."""
    while True:
        try:
            content, peer = reader.recvfrom(_MOST)
        except BlockingIOError:
            return
        except OSError:  # an ICMP error that a probe brought about
            continue
        read(content, peer)


def main() -> None:
    """Probe as the first argument says; records go to the standard output."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    raw = json.loads(sys.argv[1])
    probes = [Probe(**{**one, "how": How(one["how"])}) for one in raw]
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        observe(probes, lambda data: os.write(1, data))
