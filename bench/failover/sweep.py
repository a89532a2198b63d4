"""Asks for many addresses at once, each every 100 ms, until somebody else than before answers."""

import select
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from bench.failover import frames
from outgate.lab import netns

CHUNKS = 10
PACE = 0.01
"""Seconds between two chunks: each address is asked for every CHUNKS * PACE."""

_BUFFER = 8 << 20  # a thousand addresses are announced at once, several times each
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; socket has no name for it


@dataclass(frozen=True, slots=True)
class Taken:
    """Who first answered for an address, and when: a MAC as a number, monotonic seconds."""

    at: float
    mac: int


class Sweep:
    """Asks from one namespace, with an address that it has there."""

    def __init__(self, namespace: Path, *, source: IPv4Address) -> None:
        self._socket = netns.open_socket(
            namespace, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(frames.ETH_P_ARP)
        )
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._socket.bind(("eth0", frames.ETH_P_ARP))
        self._socket.setblocking(False)
        self._source = source

    def close(self) -> None:
        """Ask no more."""
        self._socket.close()

    def until_taken(
        self, addresses: Sequence[IPv4Address], *, but: Collection[int] = (), seconds: float
    ) -> Mapping[IPv4Address, Taken]:
        """For each address the first who answers, of all MACs but these; those that are not
        answered for within so many seconds are missing.
        """
        mac = self._socket.getsockname()[4]
        waiting = {
            address: frames.arp_request(mac=mac, source=self._source, target=address)
            for address in addresses
        }
        taken: dict[IPv4Address, Taken] = {}
        end, turn = time.monotonic() + seconds, 0
        self._drain({}, {}, but)  # what was answered before is no answer
        due = time.monotonic()
        while waiting and due < end:
            chunk = [w for n, w in enumerate(addresses) if n % CHUNKS == turn and w in waiting]
            for address in chunk:
                self._socket.send(waiting[address])
            turn = (turn + 1) % CHUNKS
            due = max(due + PACE, time.monotonic())
            while (left := due - time.monotonic()) > 0:
                select.select([self._socket], [], [], left)
                self._drain(waiting, taken, but)
        return taken

    def _drain(
        self,
        waiting: dict[IPv4Address, bytes],
        taken: dict[IPv4Address, Taken],
        but: Collection[int],
    ) -> None:
        while True:
            try:
                found = frames.arp_reply(self._socket.recv(2048))
            except BlockingIOError:
                return
            if found is None or found.mac in but:
                continue
            address = found.address
            if isinstance(address, IPv4Address) and waiting.pop(address, None) is not None:
                taken[address] = Taken(time.monotonic(), found.mac)
