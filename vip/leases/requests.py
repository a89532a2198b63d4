"""One request of the engine, asked of the API server, and what became of it.

Raises nothing but ApiError, which is `ApiFailed` to the engine.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec

from outgate.api.core import Lease
from outgate.api.kinds import LEASE
from outgate.api.meta import ObjectMeta
from outgate.kube import wire
from outgate.kube.api import Api
from outgate.kube.errors import ApiConflict, ApiNotFound, ApiRefused, ApiUnavailable
from outgate.kube.wire import Malformed
from outgate.vip.engine.actions import ReadLeases, WriteLease
from outgate.vip.engine.events import Event, LeaseRefused, LeasesRead, LeaseWritten
from outgate.vip.leases.mapping import lease_of, record_of
from outgate.vip.leases.names import GATEWAY
from outgate.vip.leases.worker import LEAST, Job


@dataclass(frozen=True, slots=True)
class Desk:
    """Where requests go: an API server, a namespace; `term` as in `mapping.record_of`."""

    api: Api
    namespace: str
    term: float

    def read(self, job: Job[ReadLeases]) -> Event:
        """All members' Leases by one request, consistent: no resource version is named."""
        (page,) = self.api.pages(
            LEASE, namespace=self.namespace, label_selector=GATEWAY, limit=0, timeout=_left(job)
        )
        try:
            # One that is left out would count as deposed: all or nothing.
            leases = [wire.decode(LEASE, raw) for raw in page.items]
        except Malformed as error:
            raise ApiRefused(f"the list of Leases can't be read: {error}") from error
        records = (record_of(lease, term=self.term) for lease in leases)
        return LeasesRead(job.what.request, tuple(one for one in records if one is not None))

    def write(self, job: Job[WriteLease], *, owner: str) -> Event:
        """The compare-and-swap. owner: the gateway's uid, or ""."""
        request, record = job.what.request, job.what.record
        lease = lease_of(record, namespace=self.namespace, wall=datetime.now(UTC), owner=owner)
        try:
            written = self._swap(lease, job)
        except ApiConflict:
            return LeaseRefused(request)
        except ApiNotFound:
            if not record.version:
                raise  # there is no namespace
            return LeaseRefused(request)
        stands = record_of(written, term=self.term)
        if stands is None:
            raise ApiRefused(f"Lease {lease.metadata.name}: the answer can't be read")
        if stands != replace(record, version=stands.version):
            raise ApiRefused(f"Lease {lease.metadata.name}: something changes what is written")
        return LeaseWritten(request, stands)

    def _swap(self, lease: Lease, job: Job[WriteLease]) -> Lease:
        body = {"metadata": lease.metadata, "spec": lease.spec}
        if lease.metadata.resource_version:
            return self.api.replace(LEASE, body, timeout=_left(job))
        try:
            return self.api.create(LEASE, body, timeout=_left(job))
        except ApiConflict:
            hidden = self._hidden(lease, job)
            if hidden is None:
                raise
        # To all who read, there is none: so this is as good as creating it, and as exclusive.
        return self.api.replace(LEASE, {**body, "metadata": hidden}, timeout=_left(job))

    def _hidden(self, lease: Lease, job: Job[WriteLease]) -> ObjectMeta | None:
        """What a Lease of that name which no list shows would have to be replaced by."""
        meta = lease.metadata
        found = self.api.get(LEASE, meta.name, namespace=meta.namespace, timeout=_left(job))
        if found is None:
            return None
        shown = GATEWAY in found.metadata.labels and record_of(found, term=self.term) is not None
        return None if shown else _in_place_of(found, meta)


def _in_place_of(found: Lease, meta: ObjectMeta) -> ObjectMeta:
    version, uid = found.metadata.resource_version, found.metadata.uid
    return msgspec.structs.replace(meta, resource_version=version, uid=uid)


def _left(job: Job[ReadLeases] | Job[WriteLease]) -> float:
    """Seconds for the next request. Raises ApiUnavailable if it is too late for one."""
    left = job.left
    if left < LEAST:
        raise ApiUnavailable("no time is left to ask the API server")
    return left
