"""Packets made by hand and sent many at a time, with the CPU that they cost.

What a packet costs is the sending thread's own CPU time: over veth, and with the thread pinned to
one CPU, the kernel takes a packet through all namespaces within the call that sends it. Neither
other processes nor idle time count, only the interrupts that happen to be served meanwhile.
"""

import ctypes
import os
import socket
import struct
import time
from collections.abc import Sequence
from ipaddress import IPv4Address

from bench.netns import Namespace

CHUNK = 32
"""Packets in one call, between two looks at the clock."""

PAYLOAD = bytes(64)
"""Of a datagram: small, so that what is measured is the packet and not its bytes."""

_MMSGHDR = struct.Struct("=QIxxxxQQQQixxxxIxxxx")  # recvmmsg(2), on 64 bits
_SOCKADDR = struct.Struct("=HH4s8x")
_IOVEC = struct.Struct("=QQ")
_IP = struct.Struct(">BBHHHBBH4s4s")
_UDP = struct.Struct(">HHHH")

_libc = ctypes.CDLL(None, use_errno=True)


def pin() -> None:
    """Stay on one CPU, the last: interrupts tend to be served by the first."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def datagram(
    source: IPv4Address,
    destination: IPv4Address,
    *,
    ports: tuple[int, int],
    payload: bytes = PAYLOAD,
) -> bytes:
    """An IPv4 packet; no UDP checksum, and the kernel fills in that of the header."""
    length = _UDP.size + len(payload)
    header = _IP.pack(
        0x45, 0, _IP.size + length, 0, 0, 64, 17, 0, source.packed, destination.packed
    )
    return header + _UDP.pack(*ports, length, 0) + payload


def tunnelled(
    packet: bytes,
    *,
    outer: tuple[IPv4Address, IPv4Address],
    macs: tuple[bytes, bytes],
    vni: int,
    port: int,
    group: int,
) -> bytes:
    """The packet as a node sends it into the tunnel; outer addresses and MACs: from, to."""
    source, destination = macs
    header = packet[:10] + _checksum(packet[: _IP.size]) + packet[12 : _IP.size]
    vxlan = struct.pack(">BBHI", 0x88, 0, group, vni << 8)  # draft-smith-vxlan-group-policy §2.1
    frame = destination + source + b"\x08\x00" + header + packet[_IP.size :]
    return datagram(*outer, ports=(port, port), payload=vxlan + frame)


def _checksum(header: bytes) -> bytes:
    total = sum(struct.unpack(">10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)


class Batch:
    """Packets, whole from the IPv4 header on, in the form in which sendmmsg(2) takes them."""

    def __init__(self, packets: Sequence[bytes]) -> None:
        self.size = len(packets)
        # Kept, since the headers point into them.
        self._bytes = ctypes.create_string_buffer(b"".join(packets))
        self._names = ctypes.create_string_buffer(
            b"".join(_SOCKADDR.pack(socket.AF_INET, 0, packet[16:20]) for packet in packets)
        )
        at = ctypes.addressof(self._bytes)
        vectors = []
        for packet in packets:
            vectors.append(_IOVEC.pack(at, len(packet)))
            at += len(packet)
        self._vectors = ctypes.create_string_buffer(b"".join(vectors))
        names, slots = ctypes.addressof(self._names), ctypes.addressof(self._vectors)
        self._headers = ctypes.create_string_buffer(
            b"".join(
                _MMSGHDR.pack(
                    names + index * _SOCKADDR.size,
                    _SOCKADDR.size,
                    slots + index * _IOVEC.size,
                    1,
                    0,
                    0,
                    0,
                    0,
                )
                for index in range(self.size)
            )
        )

    def header(self, index: int) -> int:
        """Where the mmsghdr of that packet is."""
        return ctypes.addressof(self._headers) + index * _MMSGHDR.size


class Sender:
    """Sends from inside a namespace, with whatever addresses the packets say."""

    def __init__(self, namespace: Namespace) -> None:
        self._socket = namespace.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._socket.setblocking(True)

    def send(
        self, batch: Batch, *, start: int = 0, count: int | None = None, most: float = float("inf")
    ) -> tuple[int, int]:
        """Send `count` packets (or all) from `start` on, or until `most` seconds of CPU are used.

        How many were sent, and how many ns of CPU that took. Raises OSError if the kernel refuses.
        """
        descriptor, sent = self._socket.fileno(), start
        end = batch.size if count is None else min(start + count, batch.size)
        began = time.thread_time_ns()
        took = 0
        while sent < end and took < most * 1e9:
            count = min(CHUNK, end - sent)
            done = _libc.sendmmsg(descriptor, ctypes.c_void_p(batch.header(sent)), count, 0)
            if done < 0:
                raise OSError(ctypes.get_errno(), "sendmmsg")
            sent += done
            took = time.thread_time_ns() - began
        return sent - start, took

    def close(self) -> None:
        self._socket.close()
