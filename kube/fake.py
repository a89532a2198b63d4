"""An API server in memory, with the client's methods and the real one's refusals. For tests.

It stores JSON and decodes it as the client does. What it leaves out: admission, schemas beyond our
own types, defaults, garbage collection by itself (`collect_garbage`), keyed lists in an apply.
"""

import contextlib
import copy
import itertools
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from outgate.api.kinds import OURS, Kind
from outgate.api.meta import Wire
from outgate.kube import events, ownership, wire
from outgate.kube.api import EventType, HasMetadata
from outgate.kube.errors import (
    ApiConflict,
    ApiError,
    ApiExpired,
    ApiNotFound,
    ApiRefused,
)
from outgate.kube.selection import matcher
from outgate.kube.store import Store
from outgate.kube.wire import Key, Malformed, Page, WatchEvent

W = TypeVar("W", bound=Wire)

Json = dict[str, Any]

MANAGER = "fake"
"""Who owns what was written without a manager."""

CREATED = "2026-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Call:
    """A request that the fake was asked, granted or not."""

    method: str
    kind: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def writes(self) -> bool:
        """Whether it is one that may change something."""
        return self.method in ("create", "replace", "apply", "delete")


@dataclass(frozen=True, slots=True)
class _Change:
    version: int
    kind: Kind[Wire]
    before: Json | None
    after: Json | None


@dataclass(slots=True)
class _Failure:
    method: str
    error: ApiError
    skip: int
    times: int
    lost: bool

    def strikes(self, call: Call) -> bool:
        """Whether this call is one to fail; counts it."""
        if self.times == 0 or not (
            self.method in ("*", call.method) or (self.method == "write" and call.writes)
        ):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class FakeApi:
    """An `Api`. Thread-safe.

    calls: every request so far. put, drop: change objects without any rule, as others would.
    fail: make requests fail. expire: forget old resource versions. store: a store that follows.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._objects: dict[tuple[Kind[Wire], Key], Json] = {}
        self._owned: dict[tuple[Kind[Wire], Key], dict[str, dict[ownership.Path, Any]]] = {}
        self._changes: list[_Change] = []
        self._expired = 0
        self._hung_up = 0
        self._absent: set[Kind[Wire]] = set()
        self._failures: list[_Failure] = []
        self._versions = itertools.count(1)
        self._version = 0
        self._changed = threading.Condition(threading.RLock())
        self._followers: list[Callable[[_Change], None]] = []

    # What tests do behind the clients' back.

    def put(self, kind: Kind[W], body: Mapping[str, Any] | W) -> W:
        """Make this the whole object, status included, whatever was there; what it became."""
        full = wire.full_body(kind, msgspec.to_builtins(body))
        with self._changed:
            return self._store(kind, full, self._objects.get((kind, _key(full))))

    def put_unreadable(self, kind: Kind[Wire], body: Mapping[str, Any]) -> None:
        """`put` without looking whether it can be read: as after an upgrade of the CRD."""
        full = wire.full_body(kind, body)
        with self._changed:
            self._write(kind, full, self._objects.get((kind, _key(full))))

    def drop(self, kind: Kind[Wire], name: str, *, namespace: str = "") -> None:
        """Remove the object, if it is there."""
        with self._changed:
            self._remove(kind, (namespace, name))

    def fail(
        self, method: str, error: ApiError, *, times: int = 1, skip: int = 0, lost: bool = False
    ) -> None:
        """Let `skip` calls of that method succeed, then fail so many of them.

        `method` may be `*` (any) or `write` (any that writes). `lost`: only the answer is lost.
        """
        with self._changed:
            self._failures.append(_Failure(method, error, skip, times, lost))

    def hang_up(self) -> None:
        """End all running watches, as a server does now and then."""
        with self._changed:
            self._hung_up += 1
            self._changed.notify_all()

    def expire(self) -> None:
        """Forget all resource versions so far: watches end with 410 and must list again."""
        with self._changed:
            self._version = next(self._versions)
            self._expired = self._version
            self._changed.notify_all()

    def unknown(self, kind: Kind[Wire], *, unknown: bool = True) -> None:
        """Behave as if the kind's CRD were not there (or were there again)."""
        with self._changed:
            (self._absent.add if unknown else self._absent.discard)(kind)
            self._changed.notify_all()

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

        def follow(change: _Change) -> None:
            event = _event(change, kind, selects)
            if event is None:
                return
            key = wire.key_of(wire.decode_meta(event.object))
            if event.type == "DELETED":
                store.remove(key)
            else:
                store.put(key, wire.decode(kind, event.object))

        with self._changed:
            values = {
                key: _decoded(kind, item)
                for (known, key), item in self._objects.items()
                if known == kind and selects(item)
            }
            store.replace(values)
            self._followers.append(follow)
        return store

    def collect_garbage(self) -> None:
        """Delete what has owners, all of which are gone: the controller manager's duty."""
        with self._changed:
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
    ) -> Iterator[Page]:
        """See `Api.pages`."""
        selects = matcher(
            namespace=namespace, field_selector=field_selector, label_selector=label_selector
        )
        with self._called(kind, Call("list", kind.name, namespace)):
            found = [
                _raw(item)
                for (known, _), item in sorted(self._objects.items(), key=lambda entry: entry[0][1])
                if known == kind and selects(item)
            ]
            version = str(self._version)
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
    ) -> "FakeWatch":
        """See `Api.watch`."""
        selects = matcher(
            namespace=namespace, field_selector=field_selector, label_selector=label_selector
        )
        with self._called(kind, Call("watch", kind.name, namespace)):
            since = int(resource_version or 0)
            if since < self._expired:
                raise ApiExpired(f"watch {kind.plural}: too old resource version", status=410)
            return FakeWatch(self, kind, since, selects)

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
        with self._changed:
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
        self._version = next(self._versions)
        metadata["resourceVersion"] = str(self._version)
        self._objects[kind, _key(item)] = item
        self._tell(_Change(self._version, kind, before, item))
        return item

    def _remove(self, kind: Kind[Wire], key: Key) -> None:
        before = self._objects.pop((kind, key), None)
        self._owned.pop((kind, key), None)
        if before is not None:
            self._version = next(self._versions)
            self._tell(_Change(self._version, kind, before, None))

    def _tell(self, change: _Change) -> None:
        self._changes.append(change)
        for follow in self._followers:
            follow(change)
        self._changed.notify_all()

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

    def _epoch(self) -> tuple[int, int]:
        """Changes when running watches have to end."""
        return self._hung_up, self._expired

    def _next_change(self, position: int, over: Callable[[], bool]) -> _Change | None:
        """The change at that position of the log, once there is one; None if it is over."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._changes) > position or over())
            return None if over() else self._changes[position]


class FakeWatch:
    """A `Watch` of the fake."""

    def __init__(
        self,
        api: FakeApi,
        kind: Kind[Wire],
        since: int,
        selects: Callable[[Mapping[str, Any]], bool],
    ) -> None:
        self._api = api
        self._kind = kind
        self._since = since
        self._selects = selects
        self._closed = False
        self._begun = api._epoch()

    def __iter__(self) -> Iterator[WatchEvent]:
        """See `Watch`."""
        for position in itertools.count():
            change = self._api._next_change(position, self._over)
            if change is None:
                break
            event = _event(change, self._kind, self._selects)
            if event is not None and change.version > self._since:
                self._since = change.version
                yield event
        if not self._closed and self._since < self._api._expired:
            gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
            yield WatchEvent("ERROR", _raw(gone))

    def _over(self) -> bool:
        return self._closed or self._begun != self._api._epoch()

    def close(self) -> None:
        """See `Watch`."""
        with self._api._changed:
            self._closed = True
            self._api._changed.notify_all()


def _event(
    change: _Change, kind: Kind[Wire], selects: Callable[[Mapping[str, Any]], bool]
) -> WatchEvent | None:
    """What a watcher with that selection sees of a change: nothing, if it concerns others."""
    if change.kind != kind:
        return None
    was = change.before is not None and selects(change.before)
    if change.after is not None and selects(change.after):
        return WatchEvent("MODIFIED" if was else "ADDED", _raw(change.after))
    if change.before is None or not was:
        return None
    last = copy.deepcopy(change.before)
    last["metadata"]["resourceVersion"] = str(change.version)
    return WatchEvent("DELETED", _raw(last))


def _raw(item: Mapping[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(wire.encode(item))


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
