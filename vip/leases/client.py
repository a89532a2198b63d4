"""Requests to the API server, for a loop that must never wait for one.

Two threads, one for readings and one for writes: a slow list holds up no swap. Both use one
`Client`, which keeps its connections. One that a time-out has struck is closed, so that the next
request opens another: an API server whose node has lost its power says nothing at all.

A reading is of the gateways that this node is in when it is asked for. One that came after there
were more of them is asked for again, and nobody hears of the first: who is missing in a list counts
as deposed.

The time-out counts from `submit`, and until the answer begins; one that comes in drops may come
later. The engine has long counted it as overdue then, and takes it for what it is.
"""

import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import structlog

from outgate.kube.errors import ApiError
from outgate.vip.engine.actions import ReadLeases, WriteLease
from outgate.vip.engine.events import ApiFailed, Event, LeasesRead
from outgate.vip.engine.settings import Settings
from outgate.vip.leases.worker import Job, Worker

if TYPE_CHECKING:
    from outgate.kube.api import Api
    from outgate.vip.leases.requests import Desk

log = structlog.get_logger("outgate.vip")


class LeaseClient:
    """Carries out `ReadLeases` and `WriteLease`. Its methods are for one thread, the loop's.

    namespace: where the Leases are. connect: how to reach the API server, None as a pod does; it
    is called in a thread at the first request, and again until it raises no ApiError.
    Nothing is imported, and no thread begins, before there is a request: most nodes have none.
    """

    def __init__(
        self, *, namespace: str, settings: Settings, connect: "Callable[[], Api] | None" = None
    ) -> None:
        self._namespace = namespace
        self._term = settings.term
        self._connect = connect or _in_cluster
        self._connecting = threading.Lock()
        self._desk: Desk | None = None
        self._owners: Mapping[str, str] = {}
        self._lock = threading.Lock()
        self._events: list[tuple[Event, frozenset[str]]] = []
        self._works = True
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        patience = settings.api_patience
        self._reader = Worker(
            "lease reader", patience=patience, do=self._read, dropped=self._dropped
        )
        self._writer = Worker(
            "lease writer", patience=patience, do=self._write, dropped=self._dropped
        )

    def submit(self, action: ReadLeases | WriteLease) -> None:
        """Asks it of the API server; one event answers it. Never waits."""
        match action:
            case ReadLeases():
                self._reader.submit("all", action)
            case WriteLease(_, record):
                self._writer.submit((record.gateway, record.node), action)

    def own(self, uids: Mapping[str, str]) -> None:
        """The gateways that this node is in from now on, and the EgressGateways' uids: with them,
        their Leases are deleted."""
        self._owners = dict(uids)

    def fileno(self) -> int:
        """For a selector: readable while there are events to take. -1 when closed."""
        return self._wake

    def take(self) -> list[Event]:
        """The events since the last time, in the order in which they came."""
        with self._lock:
            events, self._events = self._events, []
            if events and self._wake >= 0:
                os.eventfd_read(self._wake)
        return [event for event, gateways in events if not self._lacks(event, gateways)]

    def close(self) -> None:
        """Ends it. A request under way is not waited for, nor heard of."""
        self._reader.close()
        self._writer.close()
        with self._lock:
            if self._wake >= 0:
                os.close(self._wake)
            self._wake = -1

    def _lacks(self, event: Event, gateways: frozenset[str]) -> bool:
        """Whether it is a list of too few gateways, which is then asked for again."""
        if not isinstance(event, LeasesRead) or self._owners.keys() <= gateways:
            return False
        # Beside the newest reading, not in its place: the engine may have asked again meanwhile.
        self._reader.submit(event.request, ReadLeases(event.request))
        return True

    def _read(self, job: Job[ReadLeases]) -> None:
        gateways = frozenset(self._owners)
        self._answer(
            job.what.request, lambda: self._at_desk().read(job, gateways=gateways), gateways
        )

    def _write(self, job: Job[WriteLease]) -> None:
        owner = self._owners.get(job.what.record.gateway, "")
        self._answer(job.what.request, lambda: self._at_desk().write(job, owner=owner))

    def _dropped(self, action: ReadLeases | WriteLease) -> None:
        self._deliver(ApiFailed(action.request))

    def _answer(
        self, request: int, ask: Callable[[], Event], gateways: frozenset[str] = frozenset()
    ) -> None:
        event: Event = ApiFailed(request)
        why = ""
        try:
            event = ask()
        except ApiError as error:
            why = str(error)
        except Exception as error:
            # Whatever an answer can do to a parser: the next request needs this thread.
            log.exception("a Lease request failed in a way that nobody has thought of")
            why = repr(error)
        self._say(why)
        self._deliver(event, gateways)

    def _deliver(self, event: Event, gateways: frozenset[str] = frozenset()) -> None:
        with self._lock:
            if self._wake >= 0:
                self._events.append((event, gateways))
                os.eventfd_write(self._wake, 1)

    def _say(self, why: str) -> None:
        """The first failure, and that it is over."""
        with self._lock:
            worked, self._works = self._works, not why
        if why and worked:
            log.warning("Leases can't be read or written", why=why)
        elif not why and not worked:
            log.info("Leases can be read and written again")

    def _at_desk(self) -> "Desk":
        with self._connecting:
            if self._desk is None:
                from outgate.vip.leases.requests import Desk  # noqa: PLC0415 - gateway nodes only

                self._desk = Desk(self._connect(), self._namespace, self._term)
            return self._desk


def _in_cluster() -> "Api":
    from outgate.kube.client import Client  # noqa: PLC0415 - 0.13 s, 5 MB

    return Client.connect()
