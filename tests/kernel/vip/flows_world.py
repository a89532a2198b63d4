"""A move of the egress address between two gateway nodes, step by step, with running flows."""

import fcntl
import socket
import struct
import termios
import time
from collections.abc import Iterable
from ipaddress import ip_address

from kernel.cluster import EGRESS4, EGRESS6, ID, Cluster, Wish
from kernel.harness import OUTSIDE4, OUTSIDE6, PATIENCE, Namespace

from outgate.vip.flows.entries import Entry, Seen, derive, record_of
from outgate.vip.flows.records import FlowRecord
from outgate.vip.flows.table import FlowTable, Inserter, Made, timeouts

INDEXES = {"worker": 1, "first": 2, "second": 3}

GUARD = f"""
table inet guard {{
  chain input {{
    type filter hook input priority 0;
    ip daddr {EGRESS4} drop
    ip6 daddr {EGRESS6} icmpv6 type != {{ nd-neighbor-solicit, nd-neighbor-advert }} drop
  }}
}}
"""
"""As in the vip process' own table: nobody but the flows' pods gets what comes for an address."""


class Connection:
    """Established through the gateway, both ends in our hands."""

    def __init__(
        self,
        pod: Namespace,
        outside: Namespace,
        *,
        version: int = 4,
        kind: socket.SocketKind = socket.SOCK_STREAM,
        port: int = 0,
        from_port: int = 0,
    ) -> None:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        at = str(OUTSIDE4 if version == 4 else OUTSIDE6)
        with outside.socket(family, kind) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((at, port))
            self.pod = pod.socket(family, kind)
            self.pod.bind(("", from_port))
            if kind == socket.SOCK_STREAM:
                listener.listen()
                self.pod.connect(listener.getsockname())
                self.server, _ = listener.accept()
            else:
                self.pod.connect(listener.getsockname())
                self.server = listener.dup()
                self.pod.send(b"hello")
                _, source = self.server.recvfrom(100)
                self.server.connect(source)
        self.server.settimeout(PATIENCE)
        self.seen_as = ip_address(self.server.getpeername()[0])
        for _ in range(3):
            self.push()
            self.pull()
        self.settle()

    def push(self, size: int = 1000) -> None:
        """The server speaks. Raises OSError if it does not arrive."""
        _pass(self.server, self.pod, size)

    def pull(self, size: int = 1000) -> None:
        """The pod speaks. Raises OSError if it does not arrive."""
        _pass(self.pod, self.server, size)

    def settle(self) -> None:
        """Waits until all is acknowledged: what is sent again would be a packet of the pod's."""
        deadline = time.monotonic() + PATIENCE
        while any(_unacknowledged(end) for end in (self.pod, self.server)):
            assert time.monotonic() < deadline, "not acknowledged"

    def goes_on(self, size: int = 1000) -> bool:
        """Whether what the server pushes arrives, and then what the pod answers."""
        try:
            self.push(size)
            self.pull(size)
        except OSError:
            return False
        return True

    def close(self) -> None:
        self.pod.close()
        self.server.close()


def _unacknowledged(end: socket.socket) -> int:
    if end.type != socket.SOCK_STREAM:
        return 0
    (count,) = struct.unpack("i", fcntl.ioctl(end, termios.TIOCOUTQ, bytes(4)))
    return int(count)


def _pass(sender: socket.socket, receiver: socket.socket, size: int) -> None:
    left = sender.send(bytes(size))
    while left > 0:
        received = len(receiver.recv(left))
        if not received:
            raise ConnectionResetError("closed")
        left -= received


def own_flows(node: Namespace) -> list[Seen]:
    """What the table of a node has of its pods' flows under the egress id."""

    def listed() -> list[Seen]:
        with FlowTable() as table:
            return [seen for some in table.local([ID]) for seen in some]

    return node.inside(listed)


def told(node: Namespace) -> list[FlowRecord]:
    """What a source node says to the new holder."""
    index = INDEXES[node.role]
    records = (record_of(seen, index=index) for seen in own_flows(node))
    return [record for record in records if record is not None]


def take(node: Namespace, records: Iterable[FlowRecord]) -> Made:
    """The new holder makes the entries."""

    def work() -> Made:
        given = timeouts()
        entries = (
            derive(record, EGRESS4 if len(record.pod) == 4 else EGRESS6, given)
            for record in records
        )
        with Inserter() as inserter:
            for _ in inserter.insert(entries):
                pass
            return inserter.made

    return node.inside(work)


def rebind(node: Namespace, entries: Iterable[Entry]) -> Made:
    """A gateway node binds its own pods' flows anew."""

    def work() -> Made:
        with Inserter() as inserter:
            for _ in inserter.rebind(entries):
                pass
            return inserter.made

    return node.inside(work)


def forget(node: Namespace) -> None:
    """The last holder deletes what is left of the flows that it had."""

    def work() -> None:
        with Inserter() as inserter:
            assert sum(inserter.forget({ID})) > 0

    node.inside(work)


def guard(cluster: Cluster) -> None:
    for name in ("first", "second"):
        cluster.topology.nodes[name].run("nft -f -", script=GUARD)


def cut_off(cluster: Cluster, name: str) -> None:
    cluster.topology.nodes[name].ip("link set eth0 down")


def point_to(cluster: Cluster, holder: str, *, without: frozenset[str] = frozenset()) -> None:
    """The rules of all nodes but these lead to the new holder; the LAN does not yet."""
    for name in ("worker", "first", "second"):
        if name not in without:
            cluster.program_node(name, Wish(holder=holder))
