"""What the tests send and see: an outside that says whom it hears, flows, captures."""

import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import TracebackType
from typing import Self

from kernel.harness import BRIEF, OUTSIDE4, OUTSIDE6, PATIENCE, Namespace

from outgate.api.view import IPAddress

PORT = 8080
_ETH_P_ALL = 3


class Outside:
    """Answers each TCP segment and UDP datagram with the address it came from."""

    def __init__(self, namespace: Namespace) -> None:
        self._selector = selectors.DefaultSelector()
        self._stopping, stopped = socket.socketpair()
        self._selector.register(stopped, selectors.EVENT_READ, "stop")
        for family in (socket.AF_INET, socket.AF_INET6):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                self._listen(namespace.socket(family, kind), family, kind)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> "Outside":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.send(b"x")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._stopping.close()
        self._selector.close()

    def _listen(self, listener: socket.socket, family: int, kind: int) -> None:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(("", PORT))
        if kind == socket.SOCK_STREAM:
            listener.listen()
        role = "listen" if kind == socket.SOCK_STREAM else "datagram"
        self._selector.register(listener, selectors.EVENT_READ, role)

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                assert isinstance(key.fileobj, socket.socket)
                if key.data == "stop":
                    return
                self._answer(key.fileobj, key.data)

    def _answer(self, ready: socket.socket, role: str) -> None:
        if role == "listen":
            connection, _ = ready.accept()
            self._selector.register(connection, selectors.EVENT_READ, "connection")
        elif role == "datagram":
            _, source = ready.recvfrom(2048)
            ready.sendto(source[0].encode(), source)
        else:
            try:
                received = ready.recv(2048)
                if received:
                    ready.send(ready.getpeername()[0].encode())
                    return
            except OSError:
                pass  # reset by the other end: closed below, like an orderly end
            self._selector.unregister(ready)
            ready.close()


class Flow:
    """One connection, or one UDP flow, from a pod to the outside."""

    def __init__(
        self,
        pod: Namespace,
        *,
        version: int = 4,
        kind: socket.SocketKind = socket.SOCK_STREAM,
        to: IPAddress | None = None,
        patience: float = PATIENCE,
    ) -> None:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        self.socket = pod.socket(family, kind)
        self.socket.settimeout(patience)
        destination = to or (OUTSIDE4 if version == 4 else OUTSIDE6)
        try:
            self.socket.connect((str(destination), PORT))
        except OSError:
            self.socket.close()
            raise

    def __enter__(self) -> "Flow":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def seen_as(self) -> IPAddress:
        """The address that the other end sees now; TimeoutError if it does not answer."""
        self.socket.send(b"who am I?")
        return ip_address(self.socket.recv(2048).decode())


def seen_as(
    pod: Namespace,
    *,
    version: int = 4,
    kind: socket.SocketKind = socket.SOCK_STREAM,
    to: IPAddress | None = None,
) -> IPAddress:
    """The address that the outside sees a new flow of the pod come from."""
    with Flow(pod, version=version, kind=kind, to=to) as flow:
        return flow.seen_as()


def is_silent(
    pod: Namespace, *, version: int = 4, kind: socket.SocketKind = socket.SOCK_STREAM
) -> bool:
    """Whether a new flow of the pod gets no answer."""
    try:
        with Flow(pod, version=version, kind=kind, patience=BRIEF) as flow:
            flow.seen_as()
    except OSError:
        return True
    return False


@dataclass(frozen=True, slots=True)
class Packet:
    """What of a captured packet the tests look at; `payload` begins after the IP header."""

    source: IPAddress
    destination: IPAddress
    protocol: int
    payload: bytes

    @property
    def mss(self) -> int | None:
        """The MSS that a SYN offers; None for anything else."""
        if self.protocol != socket.IPPROTO_TCP or not self.payload[13] & 0x02:
            return None
        options = self.payload[20 : (self.payload[12] >> 4) * 4]
        while options and options[0]:
            if options[0] == 1:
                options = options[1:]
                continue
            if options[0] == 2:
                return int.from_bytes(options[2:4], "big")
            options = options[options[1] :]
        return None


class Capture:
    """The packets that come in on a device from the moment it is made; ICMPv6 if asked for."""

    def __init__(
        self, namespace: Namespace, device: str = "eth0", *, everything: bool = False
    ) -> None:
        self._everything = everything
        self._socket = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self._socket.bind((device, _ETH_P_ALL))
        self._socket.settimeout(0.05)
        self._packets: list[Packet] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def packets(self) -> list[Packet]:
        """Those so far."""
        self._packets += self._read()
        return self._packets

    def wait_for(self, protocol: int) -> Packet:
        """The first packet of that protocol; AssertionError if none comes in time."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for packet in self.packets():
                if packet.protocol == protocol:
                    return packet
        raise AssertionError(f"no packet of protocol {protocol}: {self._packets}")

    def _read(self) -> Iterator[Packet]:
        # Not for ever, where packets come without a pause.
        deadline = time.monotonic() + BRIEF
        while time.monotonic() < deadline:
            try:
                frame, address = self._socket.recvfrom(65536)
            except TimeoutError:
                return
            if address[2] != socket.PACKET_OUTGOING:
                packet = parse(frame)
                neighbours = packet is not None and packet.protocol == socket.IPPROTO_ICMPV6
                if packet is not None and (self._everything or not neighbours):
                    yield packet


def parse(frame: bytes) -> Packet | None:
    """The IP packet in an Ethernet frame."""
    (kind,) = struct.unpack_from("!H", frame, 12)
    body = frame[14:]
    if kind == 0x0800:
        header = (body[0] & 0xF) * 4
        source, destination = IPv4Address(body[12:16]), IPv4Address(body[16:20])
        return Packet(source, destination, body[9], body[header:])
    if kind == 0x86DD:
        return Packet(IPv6Address(body[8:24]), IPv6Address(body[24:40]), body[6], body[40:])
    return None
