"""One request of the engine, asked of the API server, and what became of it.

Raises nothing but ApiError, which is `ApiFailed` to the engine.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

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
from outgate.vip.leases.names import selector
from outgate.vip.leases.worker import LEAST, Job

UNTRACKED: list[dict[str, str]] = [{}]
"""As `managedFields`: nobody is asked which field is whose, and it was a third of each Lease.
An empty list would change nothing."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where requests go: an API server, a namespace; `term` as in `mapping.record_of`."""

    api: Api
    namespace: str
    term: float

    def read(self, job: Job[ReadLeases], *, gateways: Collection[str]) -> Event:
        """The Leases of these gateways' members by one request; of all gateways, if none is named.

        No resource version is named either: with "0", the server would answer from a cache that
        may be minutes old, and a list of now is what proves that a member was deposed. One list,
        since Leases got by name, one after the other, were never so at one moment.
        """
        (page,) = self.api.pages(
            LEASE,
            namespace=self.namespace,
            label_selector=selector(gateways),
            limit=0,
            timeout=_left(job),
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
        body = _body(lease, lease.metadata)
        if lease.metadata.resource_version:
            return self.api.replace(LEASE, body, timeout=_left(job))
        try:
            return self.api.create(LEASE, body, timeout=_left(job))
        except ApiConflict:
            hidden = self._hidden(lease, job)
            if hidden is None:
                raise
        # To all who read, there is none: so this is as good as creating it, and as exclusive.
        return self.api.replace(LEASE, _body(lease, hidden), timeout=_left(job))

    def _hidden(self, lease: Lease, job: Job[WriteLease]) -> ObjectMeta | None:
        """What a Lease of that name which no list shows would have to be replaced by."""
        meta = lease.metadata
        found = self.api.get(LEASE, meta.name, namespace=meta.namespace, timeout=_left(job))
        if found is None:
            return None
        shown = record_of(found, term=self.term) is not None
        return None if shown else _in_place_of(found, meta)


def _body(lease: Lease, meta: ObjectMeta) -> Mapping[str, Any]:
    metadata = {**msgspec.to_builtins(meta), "managedFields": UNTRACKED}
    return {"metadata": metadata, "spec": lease.spec}


def _in_place_of(found: Lease, meta: ObjectMeta) -> ObjectMeta:
    version, uid = found.metadata.resource_version, found.metadata.uid
    return msgspec.structs.replace(meta, resource_version=version, uid=uid)


def _left(job: Job[ReadLeases] | Job[WriteLease]) -> float:
    """Seconds for the next request. Raises ApiUnavailable if it is too late for one."""
    left = job.left
    if left < LEAST:
        raise ApiUnavailable("no time is left to ask the API server")
    return left
