"""Leader election at the edge: reads and swaps the Lease, as `election` decides.

Releases on stop, so that a planned restart costs the follower one look, not a lease's duration.
A process that dies releases nothing: then the duration has to pass.
"""

import math
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from outgate.api.core import Lease
from outgate.api.kinds import LEASE
from outgate.kube import election, wire
from outgate.kube.api import Api
from outgate.kube.election import Belief, Record, Timing
from outgate.kube.errors import ApiConflict, ApiError, ApiNotFound

log = structlog.get_logger("outgate.kube")

JITTER = 0.2
"""Share by which a pause may be longer: candidates that began together must spread."""


def identity() -> str:
    """A name that no other process has, nor this one after a restart: host, pid, random."""
    return f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:8]}"


class LeaderElection:
    """A candidate for the Lease `namespace/name`; a Task.

    Ask `leading` right before each write: it turns False by itself when the lease could not be
    renewed in time, even while a request of ours hangs.
    """

    name = "leader election"

    def __init__(
        self,
        api: Api,
        *,
        lease: str,
        namespace: str,
        me: str = "",
        timing: Timing | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.me = me or identity()
        self._api = api
        self._lease = lease
        self._namespace = namespace
        self._timing = timing or Timing()
        self._clock = clock
        self._belief = Belief()
        self._object: Lease | None = None
        self._told = False
        self._complained = False
        self._contacted = threading.Event()
        self._subscribers: list[Callable[[], object]] = []

    def leading(self) -> bool:
        """Whether this process leads, now. From any thread."""
        return election.leads(self._belief, me=self.me, now=self._clock(), timing=self._timing)

    @property
    def holder(self) -> str:
        """Who holds the lease, as last seen; empty if nobody."""
        record = self._belief.record
        return record.holder if record is not None else ""

    def ready(self) -> bool:
        """Whether it has ever read or written the lease: a follower is ready, too."""
        return self._contacted.is_set()

    def subscribe(self, callback: Callable[[], object]) -> None:
        """Call this, in the election's thread, when leading begins or ends. It must not block."""
        self._subscribers.append(callback)

    def run(self, stop: threading.Event) -> None:
        """Be a candidate until stopped; then give the lease back. API errors never leave it."""
        while not stop.is_set():
            self.step()
            stop.wait(self._timing.retry * (1 + JITTER * random.random()))
        self._release()

    def step(self) -> None:
        """One look at the lease, and what follows from it. `run` does this again and again."""
        try:
            self._try()
        except ApiError as error:
            if not self._complained:
                self._complained = True
                log.warning("leader election fails", lease=self._lease, why=str(error))
        else:
            if self._complained:
                self._complained = False
                log.info("leader election works again", lease=self._lease)
            self._contacted.set()
        self._tell()

    def _try(self) -> None:
        # The holder knows the record: it alone writes it. A conflict says that this is not so.
        if self.holder != self.me:
            self._read()
        try:
            self._write()
        except (ApiConflict, ApiNotFound):
            self._read()
            if self.holder == self.me:
                # Somebody touched our lease (a label, say), but it is still ours.
                self._write()

    def _read(self) -> None:
        found = self._api.get(
            LEASE, self._lease, namespace=self._namespace, timeout=self._request_timeout
        )
        self._object = found
        record = None if found is None else self._record(found)
        self._belief = election.observe(self._belief, record, now=self._clock())

    def _write(self) -> None:
        sent = self._clock()
        match election.decide(self._belief, me=self.me, now=sent):
            case "create":
                body = self._body(holder=self.me, taken=True)
                written = self._api.create(LEASE, body, timeout=self._request_timeout)
            case "take":
                body = self._body(holder=self.me, taken=True)
                written = self._api.replace(LEASE, body, timeout=self._request_timeout)
            case "renew":
                body = self._body(holder=self.me, taken=False)
                written = self._api.replace(LEASE, body, timeout=self._request_timeout)
            case "wait":
                return
        self._object = written
        self._belief = election.granted(self._belief, self._record(written), sent=sent)

    def _release(self) -> None:
        if self.holder != self.me:
            return
        # First stop leading, then let others: in this order nobody overlaps.
        self._belief = Belief(record=self._belief.record, seen=self._belief.seen)
        self._tell()
        try:
            body = self._body(holder="", taken=False)
            self._api.replace(LEASE, body, timeout=self._request_timeout)
        except ApiError as error:
            log.warning("lease not released, it will run out", why=str(error))
        else:
            log.info("lease released", lease=self._lease)

    def _tell(self) -> None:
        now = self.leading()
        if now == self._told:
            return
        self._told = now
        log.info("leading" if now else "leading no more", lease=self._lease, holder=self.holder)
        for callback in self._subscribers:
            callback()

    def _record(self, lease: Lease) -> Record:
        spec = lease.spec
        return Record(
            holder=spec.holder_identity or "",
            duration=float(spec.lease_duration_seconds or self._timing.duration),
            renewed=spec.renew_time or "",
            version=lease.metadata.resource_version,
        )

    @property
    def _request_timeout(self) -> float:
        return self._timing.renew_deadline / 2

    def _body(self, *, holder: str, taken: bool) -> dict[str, Any]:
        now = wire.micro_time(datetime.now(UTC))
        if self._object is None:
            metadata: object = {"name": self._lease, "namespace": self._namespace}
            transitions, acquired = 0, now
        else:
            metadata = self._object.metadata
            before = self._object.spec
            transitions = (before.lease_transitions or 0) + taken
            acquired = now if taken else before.acquire_time or now
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": math.ceil(self._timing.duration),
            "acquireTime": acquired,
            "renewTime": now,
            "leaseTransitions": transitions,
        }
        # The API has no empty holder: a free lease leaves it out.
        return {"metadata": metadata, "spec": {k: v for k, v in spec.items() if v != ""}}
