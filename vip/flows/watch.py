"""Hears from the kernel which flows of the tunnel have had their port changed, and when they end.

Conntrack's events, not listings: a listing costs some 10 µs for *each* entry each time, an event
costs the kernel a few µs for each *new* flow, and this process nothing unless the port was changed
(`bpf`). Entries that are older than the subscription have no events, nor have those that did not
fit into the socket's buffer: `resync` lists once, in steps.
"""

import contextlib
import errno
import socket
from collections.abc import Iterator

from outgate.daemon.closing import Closing
from outgate.daemon.netlink import NETFILTER
from outgate.vip.flows.bpf import attach, remapped_only
from outgate.vip.flows.ctnetlink import DELETE, HEADER, NEW, parse
from outgate.vip.flows.entries import LOCAL
from outgate.vip.flows.errors import TableRefused
from outgate.vip.flows.remapped import Changes, Own, remapped
from outgate.vip.flows.table import FlowTable

BURST = 64
"""Events that are read in one turn."""

_GROUPS = 1 << 0 | 1 << 2  # linux/netfilter/nfnetlink.h: NFNLGRP_CONNTRACK_NEW, _DESTROY
_BUFFER = 1 << 22  # bytes: some 5,000 events; of the kernel's memory only while there are any
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h: beyond net.core.rmem_max
_RECEIVE = 1 << 16


class RemappedWatch(Closing):
    """A subscription in this thread's network namespace (needs CAP_NET_ADMIN). For one thread.

    `overrun`: events were lost, or none were heard yet: `resync` is due.
    """

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETFILTER
            )
            self._socket.setblocking(False)
            attach(self._socket, remapped_only())
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            with contextlib.suppress(PermissionError):  # not in a user namespace
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
            self._socket.bind((0, _GROUPS))
        except OSError as error:
            raise TableRefused(f"no events of conntrack: {error}") from error
        self._table = FlowTable()
        self.own = Own()
        self.overrun = True

    def fileno(self) -> int:
        """For a selector: readable when there are changes."""
        return self._socket.fileno()

    def turn(self) -> Changes:
        """What has changed; never blocks."""
        added, gone = [], []
        for _ in range(BURST):
            try:
                data = self._socket.recv(_RECEIVE)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise TableRefused(f"events of conntrack: {error}") from error
                self.overrun = True
                continue
            _, kind, _, _, _ = HEADER.unpack_from(data)
            seen = parse(data[HEADER.size :])
            record = None if seen is None else remapped(seen)
            if record is None:
                continue
            if kind == NEW and self.own.began(record):
                added.append(record)
            elif kind == DELETE and self.own.ended(record):
                gone.append(record)
        return Changes(added=tuple(added), gone=tuple(gone))

    def resync(self) -> Iterator[Changes]:
        """Lists what there is, some at a time: what was new, and at the end what was gone."""
        self.overrun = False
        self.own.list()
        for some in self._table.listed(0, LOCAL):
            records = [record for seen in some if (record := remapped(seen)) is not None]
            yield Changes(added=tuple(record for record in records if self.own.began(record)))
        yield Changes(gone=self.own.listed())

    def close(self) -> None:
        """Ends the subscription."""
        self._socket.close()
        self._table.close()
