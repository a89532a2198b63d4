"""One ICMP echo: asks an address, waits for its answer."""

import os
import select
import socket
import time
from contextlib import suppress
from ipaddress import ip_address
from threading import Event

from outgate.agent.probes import echo

TOKEN = 16
"""Bytes by which an answer is known: random, so that nobody else's ping is taken for ours."""

LOOK = 0.25
"""Seconds between two looks at `stop`."""

RECEIVE = 2048

NO_RIGHT = "no right to ping: the agent needs NET_RAW, or its group in net.ipv4.ping_group_range"


def ping(target: str, *, patience: float, stop: Event) -> str:
    """Why the address does not answer within `patience` seconds; "" if it does, or `stop` is set.

    Never raises for what the network or the kernel says.
    """
    address = ip_address(target)
    deadline = time.monotonic() + patience
    token = os.urandom(TOKEN)
    family: echo.Family = 4 if address.version == 4 else 6
    try:
        with _socket(family) as sock:
            sock.setblocking(False)
            sock.connect((target, 0))
            sock.send(echo.request(token, family=family))
            raw = family == 4 and sock.type == socket.SOCK_RAW
            while not stop.is_set():
                left = deadline - time.monotonic()
                if left <= 0:
                    return f"no answer within {patience:g} s"
                if not select.select([sock], [], [], min(left, LOOK))[0]:
                    continue
                with suppress(BlockingIOError):  # a checksum was wrong: the kernel took it back
                    if echo.answers(sock.recv(RECEIVE), token, family=family, with_header=raw):
                        return ""
    except PermissionError:
        return NO_RIGHT
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)
    return ""


def _socket(family: echo.Family) -> socket.socket:
    """An unprivileged one where the sysctl allows it, else a raw one. Raises PermissionError."""
    domain = socket.AF_INET if family == 4 else socket.AF_INET6
    protocol = socket.IPPROTO_ICMP if family == 4 else socket.IPPROTO_ICMPV6
    try:
        return socket.socket(domain, socket.SOCK_DGRAM, protocol)
    except PermissionError:
        return socket.socket(domain, socket.SOCK_RAW, protocol)
