"""Events (core/v1): what `kubectl describe` shows under an object. Repetitions are counted up.

An Event's name follows from what it says, so two controllers, or one after a restart, count the
same Event up instead of making another.
"""

import hashlib
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import msgspec
import structlog

from outgate.api.kinds import Kind
from outgate.api.meta import NAME_MAX, ObjectMeta, Wire
from outgate.kube.api import EventType
from outgate.kube.errors import ApiConflict, ApiError, ApiNotFound

W = TypeVar("W", bound=Wire)

log = structlog.get_logger("outgate.kube")

MESSAGE_MAX = 1024  # the API server refuses longer ones

CLUSTER_NAMESPACE = "default"
"""Where Events about cluster-scoped objects live: the API server's rule."""


class ObjectReference(Wire, frozen=True, kw_only=True):
    """`v1.ObjectReference`."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""


class EventSource(Wire, frozen=True, kw_only=True):
    """`v1.EventSource`."""

    component: str = ""


class Event(Wire, frozen=True, kw_only=True):
    """An Event."""

    metadata: ObjectMeta
    involved_object: ObjectReference = ObjectReference()
    type: str = ""
    reason: str = ""
    message: str = ""
    source: EventSource = EventSource()
    count: int = 0
    first_timestamp: str | None = None
    last_timestamp: str | None = None


EVENT = Kind("", "v1", "events", "Event", True, Event)


class _Api(Protocol):
    def get(self, kind: Kind[W], name: str, *, namespace: str = "") -> W | None: ...
    def create(self, kind: Kind[W], body: dict[str, Any]) -> W: ...
    def replace(self, kind: Kind[W], body: dict[str, Any]) -> W: ...


def record(
    api: _Api,
    kind: Kind[Wire],
    regarding: ObjectMeta,
    *,
    type: EventType,
    reason: str,
    message: str,
    component: str,
) -> None:
    """Create the Event, or count it up. Never raises: what is lost is logged."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    fresh = first(
        kind,
        regarding,
        type=type,
        reason=reason,
        message=message,
        component=component,
        now=now,
    )
    namespace, name = fresh.metadata.namespace, fresh.metadata.name
    try:
        try:
            api.create(EVENT, msgspec.to_builtins(fresh))
        except ApiConflict:
            seen = api.get(EVENT, name, namespace=namespace)
            if seen is not None:
                api.replace(EVENT, msgspec.to_builtins(again(fresh, seen=seen)))
    except (ApiConflict, ApiNotFound):
        # Somebody counted it up, or it ran out, at this very moment; or the namespace goes away.
        log.debug("event lost", event_name=name, reason=reason)
    except ApiError as error:
        log.warning("event lost", event_name=name, reason=reason, why=str(error))


def first(
    kind: Kind[Wire],
    regarding: ObjectMeta,
    *,
    type: EventType,
    reason: str,
    message: str,
    component: str,
    now: str,
) -> Event:
    """The Event as it is when it happens for the first time."""
    message = message if len(message) <= MESSAGE_MAX else message[: MESSAGE_MAX - 1] + "…"
    said = "\0".join((kind.name, regarding.uid, type, reason, message, component))
    digest = hashlib.blake2b(said.encode(), digest_size=8).hexdigest()
    stem = regarding.name[: NAME_MAX - len(digest) - 1].rstrip(".-")
    return Event(
        metadata=ObjectMeta(
            name=f"{stem}.{digest}", namespace=regarding.namespace or CLUSTER_NAMESPACE
        ),
        involved_object=ObjectReference(
            api_version=kind.api_version,
            kind=kind.name,
            name=regarding.name,
            namespace=regarding.namespace,
            uid=regarding.uid,
        ),
        type=type,
        reason=reason,
        message=message,
        source=EventSource(component=component),
        count=1,
        first_timestamp=now,
        last_timestamp=now,
    )


def again(fresh: Event, *, seen: Event) -> Event:
    """The Event as it is after it happened once more than `seen`."""
    return Event(
        metadata=seen.metadata,
        involved_object=fresh.involved_object,
        type=fresh.type,
        reason=fresh.reason,
        message=fresh.message,
        source=fresh.source,
        count=seen.count + 1,
        first_timestamp=seen.first_timestamp or fresh.first_timestamp,
        last_timestamp=fresh.last_timestamp,
    )
