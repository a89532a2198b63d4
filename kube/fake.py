"""An API server in memory, with the client's methods and the real one's refusals. For tests.

It stores JSON and decodes it as the client does. What it leaves out: admission, schemas beyond our
own types, defaults, garbage collection by itself (`collect_garbage`), keyed lists in an apply.
"""

import contextlib
import copy
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from outgate.api.kinds import OURS, Kind
from outgate.api.meta import Wire
from outgate.kube import events, ownership, wire
from outgate.kube.api import EventType, HasMetadata
from outgate.kube.calls import Call, Failure
from outgate.kube.errors import (
    ApiConflict,
    ApiError,
    ApiExpired,
    ApiNotFound,
    ApiRefused,
)
from outgate.kube.journal import Change, FakeWatch, Journal, Json, event_of, raw
from outgate.kube.selection import matcher
from outgate.kube.store import Store
from outgate.kube.wire import Key, Malformed, Page

W = TypeVar("W", bound=Wire)

MANAGER = "fake"
"""Who owns what was written without a manager."""

CREATED = "2026-01-01T00:00:00Z"


class FakeApi:
    """An `Api`. Thread-safe.

    calls: every request so far. put, drop: change objects without any rule, as others would.
    fail: make requests fail. expire: forget old resource versions. store: a store that follows.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._objects: dict[tuple[Kind[Wire], Key], Json] = {}
        self._owned: dict[tuple[Kind[Wire], Key], dict[str, dict[ownership.Path, Any]]] = {}
        self._absent: set[Kind[Wire]] = set()
        self._failures: list[Failure] = []
        self._journal = Journal()
        self._lock = self._journal.lock

    # What tests do behind the clients' back.

    def put(self, kind: Kind[W], body: Mapping[str, Any] | W) -> W:
        """Make this the whole object, status included, whatever was there; what it became."""
        full = wire.full_body(kind, msgspec.to_builtins(body))
        with self._lock:
            return self._store(kind, full, self._objects.get((kind, _key(full))))

    def put_unreadable(self, kind: Kind[Wire], body: Mapping[str, Any]) -> None:
        """`put` without looking whether it can be read: as after an upgrade of the CRD."""
        full = wire.full_body(kind, body)
        with self._lock:
            self._write(kind, full, self._objects.get((kind, _key(full))))

    def drop(self, kind: Kind[Wire], name: str, *, namespace: str = "") -> None:
        """Remove the object, if it is there."""
        with self._lock:
            self._remove(kind, (namespace, name))

    def fail(
        self, method: str, error: ApiError, *, times: int = 1, skip: int = 0, lost: bool = False
    ) -> None:
        """Let `skip` calls of that method succeed, then fail so many of them.

        `method` may be `*` (any) or `write` (any that writes). `lost`: only the answer is lost.
        """
        with self._lock:
            self._failures.append(Failure(method, error, skip, times, lost))

    def hang_up(self) -> None:
        """End all running watches, as a server does now and then."""
        self._journal.hang_up()

    def expire(self) -> None:
        """Forget all resource versions so far: watches end with 410 and must list again."""
        self._journal.expire()

    def unknown(self, kind: Kind[Wire], *, unknown: bool = True) -> None:
        """Behave as if the kind's CRD were not there (or were there again)."""
        with self._lock:
            (self._absent.add if unknown else self._absent.discard)(kind)

    def store(
        self,
        kind: Kind[W],
        *,
        namespace: str = "",
        field_selector: str = "",
        label_selector: str = "",
    ) -> Store[W]:
        """A synced store that follows every write at once, in the writer's thread."""
        selects = matcher(
            namespace=namespace, field_selector=field_selector, label_selector=label_selector
        )
        store: Store[W] = Store()

        def follow(change: Change) -> None:
            event = event_of(change, kind, selects)
            if event is None:
                return
            key = wire.key_of(wire.decode_meta(event.object))
            if event.type == "DELETED":
                store.remove(key)
            else:
                store.put(key, wire.decode(kind, event.object))

        with self._lock:
            values = {
                key: _decoded(kind, item)
                for (known, key), item in self._objects.items()
                if known == kind and selects(item)
            }
            store.replace(values)
            self._journal.follow(follow)
        return store

    def collect_garbage(self) -> None:
        """Delete what has owners, all of which are gone: the controller manager's duty."""
        with self._lock:
            while orphans := self._orphans():
                for kind, key in orphans:
                    self._remove(kind, key)

    @property
    def writes(self) -> list[Call]:
        """The calls that may have changed something."""
        return [call for call in self.calls if call.writes]

    # What clients do.

    def get(
        self, kind: Kind[W], name: str, *, namespace: str = "", timeout: float | None = None
    ) -> W | None:
        """See `Api.get`."""
        with self._called(kind, Call("get", kind.name, namespace, name)):
            item = self._item(kind, (namespace, name))
            return None if item is None else _decoded(kind, item)

    def list(
        self,
        kind: Kind[W],
        *,
        namespace: str = "",
        field_selector: str = "",
        label_selector: str = "",
        limit: int = 500,
    ) -> tuple[list[W], str]:
        """See `Api.list`."""
        values: list[W] = []
        version = ""
        for page in self.pages(
            kind,
            namespace=namespace,
            field_selector=field_selector,
            label_selector=label_selector,
            limit=limit,
        ):
            version = page.resource_version
            values += [wire.decode(kind, raw) for raw in page.items if _readable(kind, raw)]
        return values, version

    def pages(
        self,
        kind: Kind[Wire],
        *,
        namespace: str = "",
        field_selector: str = "",
        label_selector: str = "",
        limit: int = 500,
        resource_version: str = "",
        timeout: float | None = None,
    ) -> Iterator[Page]:
        """See `Api.pages`."""
        selects = matcher(
            namespace=namespace, field_selector=field_selector, label_selector=label_selector
        )
        with self._called(kind, Call("list", kind.name, namespace)):
            found = [
                raw(item)
                for (known, _), item in sorted(self._objects.items(), key=lambda entry: entry[0][1])
                if known == kind and selects(item)
            ]
            version = str(self._journal.version)
        size = limit or max(1, len(found))
        for start in range(0, max(1, len(found)), size):
            more = "more" if start + size < len(found) else ""
            yield Page(tuple(found[start : start + size]), version, more)

    def watch(
        self,
        kind: Kind[Wire],
        *,
        resource_version: str,
        namespace: str = "",
        field_selector: str = "",
        label_selector: str = "",
    ) -> FakeWatch:
        """See `Api.watch`."""
        selects = matcher(
            namespace=namespace, field_selector=field_selector, label_selector=label_selector
        )
        with self._called(kind, Call("watch", kind.name, namespace)):
            since = int(resource_version or 0)
            if since < self._journal.expired:
                raise ApiExpired(f"watch {kind.plural}: too old resource version", status=410)
            return FakeWatch(self._journal, kind, since=since, selects=selects)

    def create(self, kind: Kind[W], body: Mapping[str, Any], *, timeout: float | None = None) -> W:
        """See `Api.create`."""
        full = wire.full_body(kind, body)
        key = _key(full)
        with self._called(kind, Call("create", kind.name, *key)):
            if (kind, key) in self._objects:
                raise ApiConflict(f"create {kind.plural} {key[1]}: already exists", status=409)
            if _has_status(kind):
                full.pop("status", None)
            value = self._store(kind, full, None)
            self._own((kind, key), MANAGER, ownership.fields_of(full))
            return value

    def replace(self, kind: Kind[W], body: Mapping[str, Any], *, timeout: float | None = None) -> W:
        """See `Api.replace`."""
        full = wire.full_body(kind, body)
        key = _key(full)
        with self._called(kind, Call("replace", kind.name, *key)):
            before = self._expect(kind, key, full["metadata"])
            if _has_status(kind):
                full["status"] = before.get("status", {})
            return self._store(kind, full, before)

    def apply(
        self,
        kind: Kind[W],
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str = "",
        manager: str,
        subresource: str = "",
        force: bool = True,
    ) -> W:
        """See `Api.apply`."""
        full = wire.full_body(kind, body, name=name, namespace=namespace)
        key = (namespace, name)
        with self._called(kind, Call("apply", kind.name, namespace, name, subresource)):
            before = self._objects.get((kind, key))
            if before is None and subresource:
                raise ApiNotFound(f"apply {kind.plural} {name}: not found", status=404)
            if before is not None:
                self._expect(kind, key, full["metadata"])
            wanted = _in_reach(kind, subresource, ownership.fields_of(full))
            owners = self._owned.get((kind, key), {})
            mine = f"{manager}/{subresource}"
            others = [fields for owner, fields in owners.items() if owner != mine]
            self._refuse_conflicts(before or {}, wanted, others, force=force, name=name)
            kept = {path for fields in others for path in fields}
            dropped = owners.get(mine, {}).keys() - wanted.keys() - kept
            base = before or wire.full_body(kind, {}, name=name, namespace=namespace)
            value = self._store(
                kind, ownership.merged(base, wanted=wanted, dropped=dropped), before
            )
            self._own((kind, key), mine, wanted)
            return value

    def delete(self, kind: Kind[Wire], name: str, *, namespace: str = "", uid: str = "") -> bool:
        """See `Api.delete`."""
        with self._called(kind, Call("delete", kind.name, namespace, name)):
            item = self._item(kind, (namespace, name))
            if item is None:
                return False
            if uid and item["metadata"]["uid"] != uid:
                raise ApiConflict(f"delete {kind.plural} {name}: another uid", status=409)
            self._remove(kind, (namespace, name))
            return True

    def event(
        self,
        kind: Kind[Wire],
        regarding: HasMetadata,
        *,
        type: EventType,
        reason: str,
        message: str,
        component: str,
    ) -> None:
        """See `Api.event`."""
        events.record(
            self,
            kind,
            regarding.metadata,
            type=type,
            reason=reason,
            message=message,
            component=component,
        )

    # How it works inside; all with the lock held.

    @contextlib.contextmanager
    def _called(self, kind: Kind[Wire], call: Call) -> Iterator[None]:
        with self._lock:
            self.calls.append(call)
            failure = next((each for each in self._failures if each.strikes(call)), None)
            if failure is not None and not failure.lost:
                raise failure.error
            if kind in self._absent and call.method not in ("get", "delete"):
                raise ApiNotFound(f"{call.method} {kind.plural}: no such kind", status=404)
            yield
            if failure is not None:
                raise failure.error

    def _item(self, kind: Kind[Wire], key: Key) -> Json | None:
        return None if kind in self._absent else self._objects.get((kind, key))

    def _expect(self, kind: Kind[Wire], key: Key, metadata: Mapping[str, Any]) -> Json:
        """The object, if it is the very one that the metadata's version and uid speak of."""
        item = self._objects.get((kind, key))
        if item is None:
            raise ApiNotFound(f"{kind.plural} {key[1]}: not found", status=404)
        for field in ("resourceVersion", "uid"):
            wanted = metadata.get(field)
            if wanted and wanted != item["metadata"][field]:
                raise ApiConflict(f"{kind.plural} {key[1]}: {field} is another", status=409)
        return item

    def _store(self, kind: Kind[W], full: Json, before: Json | None) -> W:
        try:
            wire.decode(kind, wire.encode(full))
        except Malformed as error:
            raise ApiRefused(f"{kind.plural} {_key(full)[1]}: {error}", status=422) from error
        return wire.decode(kind, wire.encode(self._write(kind, full, before)))

    def _write(self, kind: Kind[Wire], full: Json, before: Json | None) -> Json:
        item = copy.deepcopy(full)
        old = before["metadata"] if before else {}
        metadata = item["metadata"]
        metadata["uid"] = old.get("uid") or metadata.get("uid") or str(uuid.uuid4())
        metadata["creationTimestamp"] = (
            old.get("creationTimestamp") or metadata.get("creationTimestamp") or CREATED
        )
        metadata["generation"] = old.get("generation", 0) + (
            before is None or _specified(before) != _specified(item)
        )
        if before is not None:
            metadata["resourceVersion"] = old["resourceVersion"]
            if item == before:
                return before  # like the real one: a write that changes nothing is none
        self._objects[kind, _key(item)] = item
        self._journal.add(kind, before, item)
        return item

    def _remove(self, kind: Kind[Wire], key: Key) -> None:
        before = self._objects.pop((kind, key), None)
        self._owned.pop((kind, key), None)
        if before is not None:
            self._journal.add(kind, before, None)

    def _refuse_conflicts(
        self,
        item: Json,
        wanted: ownership.Fields,
        others: Iterable[ownership.Fields],
        *,
        force: bool,
        name: str,
    ) -> None:
        taken = {
            path
            for fields in others
            for path in fields.keys() & wanted.keys()
            if ownership.value_at(item, path) != wanted[path]
        }
        if taken and not force:
            paths = ", ".join(sorted(".".join(path) for path in taken))
            raise ApiConflict(f"apply {name}: conflict: others own {paths}", status=409)

    def _own(
        self, of: tuple[Kind[Wire], Key], owner: str, fields: dict[ownership.Path, Any]
    ) -> None:
        owners = self._owned.setdefault(of, {})
        for other, theirs in owners.items():
            if other != owner:
                owners[other] = {
                    path: value
                    for path, value in theirs.items()
                    if path not in fields or fields[path] == value
                }
        owners[owner] = fields

    def _orphans(self) -> tuple[tuple[Kind[Wire], Key], ...]:
        alive = {item["metadata"]["uid"] for item in self._objects.values()}
        return tuple(
            place
            for place, item in self._objects.items()
            if (owners := item["metadata"].get("ownerReferences"))
            and not any(owner["uid"] in alive for owner in owners)
        )


def _decoded(kind: Kind[W], item: Mapping[str, Any]) -> W:
    try:
        return wire.decode(kind, wire.encode(item))
    except Malformed as error:
        raise ApiRefused(f"get {kind.plural}: the answer can't be read: {error}") from error


def _readable(kind: Kind[Wire], raw: msgspec.Raw) -> bool:
    try:
        wire.decode(kind, raw)
    except Malformed:
        return False
    return True


def _key(item: Mapping[str, Any]) -> Key:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _specified(item: Mapping[str, Any]) -> Json:
    return {name: part for name, part in item.items() if name not in ("metadata", "status")}


def _has_status(kind: Kind[Wire]) -> bool:
    return kind in OURS and "status" in kind.type.__struct_fields__


def _in_reach(
    kind: Kind[Wire], subresource: str, fields: Mapping[ownership.Path, Any]
) -> dict[ownership.Path, Any]:
    """The fields that a write to this part of the object can change."""
    if subresource:
        return {path: value for path, value in fields.items() if path[0] == subresource}
    if _has_status(kind):
        return {path: value for path, value in fields.items() if path[0] != "status"}
    return dict(fields)
