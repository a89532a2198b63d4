"""A member's `Record` as a Lease, and back. Pure.

| Lease | Record |
|---|---|
| `metadata.name` | gateway and node (`names`) |
| `metadata.resourceVersion` and `uid` | version |
| `spec.holderIdentity` | the node if it is inside; none if it was deposed |
| `spec.leaseTransitions` | epoch |
| annotation `outgate.dev/term` | term |
| `spec.leaseDurationSeconds` | the same, rounded up |
| annotation `outgate.dev/boot` | boot |

`spec.renewTime` is for people alone: no clock of another node is believed.

The uid is in the version because the API server *creates* a Lease that is to be replaced and is
not there, whatever version is named: a renewal would go through that others have read as deposed.
With a uid it is refused (409).

What others have written into it
--------------------------------

An edit is a new version, so the next swap that was based on the old one fails. What it says is not
believed where it does not fit together: then the member counts as inside, relying on a whole term,
with a boot that no process has. So nobody takes it for deposed; whoever wants to depose it has to
wait and to swap, as always; and the member itself, when it reads that, writes it anew.
A Lease without its gateway's label, and a cut name whose annotations were taken away, is no Lease
to anybody, as if it had been deleted; its member creates it again (`requests`). That goes for the
label of another gateway, too: who is in both gateways would see the Lease, who is in one would not.
"""

import math
from datetime import datetime

from outgate.api.core import Lease, LeaseSpec
from outgate.api.kinds import EGRESS_GATEWAY
from outgate.api.meta import GROUP, ObjectMeta, OwnerReference
from outgate.kube.wire import micro_time
from outgate.vip.engine.events import Record
from outgate.vip.leases import names

TERM = f"{GROUP}/term"
BOOT = f"{GROUP}/boot"

TERM_MAX = 3600.0
"""Seconds. No setting comes near it; more would keep a dead member's addresses for ever."""
EPOCH_MAX = 1 << 30
"""An int32 in the API. Nobody has counted up to more than this: a move a second for 34 years."""
NO_BOOT = 0
"""Of a process that there has never been."""


def lease_of(record: Record, *, namespace: str, wall: datetime, owner: str = "") -> Lease:
    """The Lease that says what the record does.

    owner: the uid of its EgressGateway, with which it shall be deleted; "" if it is not known.
    """
    gateway, node = record.gateway, record.node
    version, _, uid = record.version.partition("/")
    return Lease(
        metadata=ObjectMeta(
            name=names.lease_name(gateway, node),
            namespace=namespace,
            uid=uid,
            resource_version=version,
            labels=names.labels(gateway, node),
            annotations={
                names.GATEWAY: gateway,
                names.NODE: node,
                TERM: repr(float(record.term)),
                BOOT: str(record.boot),
            },
            owner_references=(_owned_by(gateway, owner),) if owner else (),
        ),
        spec=LeaseSpec(
            holder_identity=node if record.inside else None,
            lease_duration_seconds=_seconds(record.term),
            renew_time=micro_time(wall),
            lease_transitions=record.epoch,
        ),
    )


def record_of(lease: Lease, *, term: float) -> Record | None:
    """What the Lease says; None if it is no member's.

    term: what a member may be relying on whose Lease says nothing that could be believed.
    """
    meta, spec = lease.metadata, lease.spec
    member = names.member_of(meta.name) or names.named_in(meta.annotations, meta.name)
    if member is None or not names.labelled(meta.labels, member):
        return None
    gateway, node = member
    said = _term(lease)
    boot = _number(meta.annotations.get(BOOT, ""))
    epoch = spec.lease_transitions if 0 <= (spec.lease_transitions or 0) <= EPOCH_MAX else None
    version = f"{meta.resource_version}/{meta.uid}"
    holder = spec.holder_identity or ""
    # A member is deposed after its term, and the term is 0 then. Who only takes the name out has
    # not waited.
    if holder == "" and said == 0:
        return Record(gateway, node, epoch or 0, boot or NO_BOOT, False, 0.0, version)
    if holder == node and said is not None and boot is not None and epoch is not None:
        return Record(gateway, node, epoch, boot, True, said, version)
    return Record(gateway, node, epoch or 0, NO_BOOT, True, term, version)


def _term(lease: Lease) -> float | None:
    """The term, if annotation and duration agree."""
    try:
        term = float(lease.metadata.annotations.get(TERM, ""))
    except ValueError:
        return None
    believed = 0 <= term <= TERM_MAX and lease.spec.lease_duration_seconds == _seconds(term)
    return term if believed else None


def _seconds(term: float) -> int:
    # The API has no duration of 0.
    return max(1, math.ceil(term))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _owned_by(gateway: str, uid: str) -> OwnerReference:
    kind = EGRESS_GATEWAY
    return OwnerReference(api_version=kind.api_version, kind=kind.name, name=gateway, uid=uid)
