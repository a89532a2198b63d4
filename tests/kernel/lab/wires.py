"""A lab's segment without its cluster, and who hears whom on it."""

import os
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from outgate.lab import Families, Lab, Options, fabric, lifecycle, netns, pki, processes
from outgate.lab.paths import Paths
from outgate.lab.topology import topology

ETHERTYPE = 0x88B5
"""IEEE 802, local experimental: nobody else's frames."""

QUIET = 0.1
"""Seconds without a frame after which no more come: veth and bridge deliver at once."""


@contextmanager
def segment(name: str, *, families: Families = Families.IPV4) -> Iterator[Lab]:
    """Namespaces, bridge and router as `outgate-lab up` makes them; nothing runs in them."""
    options = Options(name=f"{name}{os.getpid()}", families=families)
    paths, shape = Paths(options.name), topology(options)
    try:
        fabric.create(paths, options, shape)
        pki.issue(paths, shape)  # a Lab reads the certificate of its API server
        yield Lab(options)
    finally:
        lifecycle.sweep(paths)


def heard(lab: Lab) -> frozenset[tuple[str, str]]:
    """The pairs (from, to) between which a broadcast arrives, of all hosts on the segment."""
    sockets = {host.name: _listen(lab, host.name) for host in lab.topology.lan_hosts}
    names = {descriptor.fileno(): name for name, descriptor in sockets.items()}
    arrived = set()
    try:
        for name, descriptor in sockets.items():
            head = b"\xff" * 6 + bytes.fromhex(lab.topology.host(name).mac.replace(":", ""))
            try:
                descriptor.send(head + ETHERTYPE.to_bytes(2) + name.encode().ljust(50, b"\0"))
            except OSError:
                continue  # its cable is pulled
            while ready := select.select(names, [], [], QUIET)[0]:
                for number in ready:
                    frame = sockets[names[number]].recv(2048)
                    arrived.add((frame[14:].rstrip(b"\0").decode(), names[number]))
    finally:
        for descriptor in sockets.values():
            descriptor.close()
    return frozenset(arrived)


def sleeper(lab: Lab, host: str) -> int:
    """A process that does nothing on a host, for ten minutes at most."""
    return processes.spawn(lab.paths, host, "sleeper", ["sleep", "600"])


def _listen(lab: Lab, name: str) -> socket.socket:
    made = netns.open_socket(
        lab.paths.netns(name), socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE)
    )
    made.bind(("eth0", ETHERTYPE))
    return made
