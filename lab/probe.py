"""Asking the outside host "who am I?" from inside any network namespace, without a process there.

Only sockets are made in the namespace; no name is looked up, no thread of the caller moves.
"""

import http.client
import json
import os
import socket
import struct
import time
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, ip_address
from pathlib import Path

from outgate.lab import netns
from outgate.lab.outside import HTTP_PORT, TCP_PORT, UDP_PORT
from outgate.lab.topology import Address

PROBE_SECONDS = 2.0


class Protocol(StrEnum):
    """How to ask."""

    HTTP = "http"
    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True)
class Answer:
    """The source address and port that the outside saw; falsy, with an error, if none came."""

    source: Address | None
    port: int = 0
    error: str = ""
    seconds: float = 0.0

    def __bool__(self) -> bool:
        return self.source is not None


class Flow:
    """A TCP connection that stays open, to be asked again and again. A context manager."""

    def __init__(
        self, namespace: Path, destination: Address, *, timeout: float = PROBE_SECONDS
    ) -> None:
        self._socket = _connected(namespace, destination, TCP_PORT, timeout)

    def __enter__(self) -> "Flow":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self) -> Answer:
        """Send a line and read the answer; an Answer with an error if the flow is dead."""
        began = time.monotonic()
        try:
            self._socket.sendall(b"who am I?\n")
            text = _line(self._socket)
        except OSError as error:
            return Answer(None, error=str(error), seconds=time.monotonic() - began)
        return _seen(text, time.monotonic() - began)

    def close(self) -> None:
        """End the flow."""
        self._socket.close()


def ask(
    namespace: Path, protocol: Protocol, destination: Address, *, timeout: float = PROBE_SECONDS
) -> Answer:
    """Ask the outside host once; never raises for a network that does not answer."""
    began = time.monotonic()
    try:
        match protocol:
            case Protocol.HTTP:
                return _http(namespace, destination, timeout)
            case Protocol.TCP:
                with Flow(namespace, destination, timeout=timeout) as flow:
                    return flow.ask()
            case Protocol.UDP:
                return _udp(namespace, destination, timeout)
    except (OSError, http.client.HTTPException) as error:
        return Answer(
            None, error=f"{type(error).__name__}: {error}", seconds=time.monotonic() - began
        )


def ping(namespace: Path, destination: Address, *, timeout: float = PROBE_SECONDS) -> float | None:
    """Round-trip time of one ICMP echo in seconds; None if nothing came back."""
    four = isinstance(destination, IPv4Address)
    family, protocol = (
        (socket.AF_INET, socket.IPPROTO_ICMP) if four else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
    )
    request, reply = (8, 0) if four else (128, 129)  # RFC 792, RFC 4443 §4
    identity = os.urandom(4)
    packet = _echo(request, identity)
    with netns.open_socket(namespace, family, socket.SOCK_RAW, protocol) as raw:
        began = time.monotonic()
        try:
            raw.sendto(packet, (str(destination), 0))
            while (left := began + timeout - time.monotonic()) > 0:
                raw.settimeout(left)
                data, _ = raw.recvfrom(2048)
                message = data[(data[0] & 0xF) * 4 :] if four else data  # IPv6: no header
                if message[0] == reply and message[4:8] == identity:
                    return time.monotonic() - began
        except OSError:
            return None
    return None


def _http(namespace: Path, destination: Address, timeout: float) -> Answer:
    began = time.monotonic()
    connection = http.client.HTTPConnection(str(destination), HTTP_PORT, timeout=timeout)
    connection.sock = _connected(namespace, destination, HTTP_PORT, timeout)
    try:
        connection.request("GET", "/")
        body = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return Answer(ip_address(body["source"]), body["port"], seconds=time.monotonic() - began)


def _udp(namespace: Path, destination: Address, timeout: float) -> Answer:
    began = time.monotonic()
    with netns.open_socket(namespace, _family(destination), socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(timeout)
        datagrams.connect((str(destination), UDP_PORT))
        datagrams.send(b"who am I?\n")
        return _seen(datagrams.recv(2048).decode(), time.monotonic() - began)


def _connected(namespace: Path, destination: Address, port: int, timeout: float) -> socket.socket:
    stream = netns.open_socket(namespace, _family(destination), socket.SOCK_STREAM)
    stream.settimeout(timeout)
    try:
        stream.connect((str(destination), port))
    except OSError:
        stream.close()
        raise
    return stream


def _line(stream: socket.socket) -> str:
    data = b""
    while not data.endswith(b"\n"):
        part = stream.recv(2048)
        if not part:
            raise ConnectionResetError("closed by the outside host")
        data += part
    return data.decode()


def _seen(text: str, seconds: float) -> Answer:
    source, port = text.split()
    return Answer(ip_address(source), int(port), seconds=seconds)


def _family(address: Address) -> int:
    return socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6


def _echo(kind: int, identity: bytes) -> bytes:
    def message(checksum: int) -> bytes:
        return struct.pack("!BBH", kind, 0, checksum) + identity

    total = sum(struct.unpack("!4H", message(0)))
    total = (total & 0xFFFF) + (total >> 16)
    return message(~total & 0xFFFF)  # ICMPv6's is filled in by the kernel
