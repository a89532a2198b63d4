"""The UDP socket between nodes: never waits, and counts what goes wrong instead of raising it.

Which datagrams are believed is `PeerCodec`'s matter, which ones get here the firewall's.
"""

import errno
import socket
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

from outgate.api.view import IPAddress
from outgate.daemon.closing import Closing
from outgate.vip.peer.errors import SocketRefused
from outgate.vip.peer.seal import DATAGRAM_MAX
from outgate.vip.peer.words import Datagram

TRAFFIC_CLASS = 48 << 2
"""DSCP CS6, network control (RFC 4594 §3.2), in the upper six bits (RFC 2474 §3)."""

PRIORITY = 6
"""TC_PRIO_INTERACTIVE (linux/pkt_sched.h): the first band of the default queue. Above that needs
CAP_NET_ADMIN."""

BUFFER = 1 << 20
"""Bytes for what has come and was not read yet. The kernel doubles it and takes 2.3 KB for a
datagram: 900, more than a second of 30 members, or three of the largest `Say`."""

SO_RCVBUFFORCE = 33  # asm-generic/socket.h; not in Python's module

BATCH = 64
"""Datagrams read at a time, so that a flood holds up no heartbeat of ours."""

_parse = lru_cache(maxsize=4096)(ip_address)
_text = lru_cache(maxsize=4096)(str)


class PeerSocket(Closing):
    """A socket on this node's underlay address.

    errors: how often what failed, by the name of the error: `ENETUNREACH`, `EPERM`, `ENOBUFS`.
    Raises SocketRefused if there is no such address here (yet), or the port is taken.
    """

    def __init__(self, address: IPAddress, *, port: int) -> None:
        self.errors: Counter[str] = Counter()
        self._port = port
        v4 = address.version == 4
        self._socket = socket.socket(
            socket.AF_INET if v4 else socket.AF_INET6,
            socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
        )
        try:
            self._prepare(v4=v4)
            self._socket.bind((str(address), port))
        except OSError as error:
            self._socket.close()
            raise SocketRefused(f"no socket on {address}, UDP port {port}: {error}") from error

    def _prepare(self, *, v4: bool) -> None:
        if v4:
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, TRAFFIC_CLASS)
        else:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, TRAFFIC_CLASS)
        # After the traffic class, which sets one of its own.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, PRIORITY)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        except PermissionError:  # without CAP_NET_ADMIN; cut to net.core.rmem_max in silence
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)

    def fileno(self) -> int:
        """For a selector."""
        return self._socket.fileno()

    def receive(self) -> list[tuple[bytes, IPAddress]]:
        """What has come, each with its source; at most `BATCH`, so ask again if it is readable."""
        came: list[tuple[bytes, IPAddress]] = []
        for _ in range(BATCH):
            try:
                # One byte more than is allowed, so that what is too long is seen to be.
                data, source = self._socket.recvfrom(DATAGRAM_MAX + 1)
            except BlockingIOError:
                break
            except OSError as error:
                self._count(error)
                break
            came.append((data, _parse(source[0].partition("%")[0])))
        return came

    def send(self, datagrams: Iterable[Datagram]) -> int:
        """Sends each; how many of them left. What doesn't is counted, and lost."""
        sent = 0
        for to, data in datagrams:
            try:
                self._socket.sendto(data, (_text(to), self._port))
                sent += 1
            except OSError as error:
                self._count(error)
        return sent

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()

    def _count(self, error: OSError) -> None:
        self.errors[errno.errorcode.get(error.errno or 0, "other")] += 1
