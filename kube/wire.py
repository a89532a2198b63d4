"""The API's JSON and paths, to and from our values: pure, for the client and for its fake."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from outgate.api.kinds import Kind
from outgate.api.meta import Wire

W = TypeVar("W", bound=Wire)

Key = tuple[str, str]
"""Namespace (empty for a cluster-scoped kind) and name."""

MESSAGE_MAX = 500
"""Characters of a server's message that reach our errors: some repeat the whole object."""


class Meta(Wire, frozen=True, kw_only=True):
    """As much metadata as any object has, a bookmark's included."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class Partial(Wire, frozen=True, kw_only=True):
    """An object of which only the metadata is of interest."""

    metadata: Meta = Meta()


class StatusDetails(Wire, frozen=True, kw_only=True):
    """`metav1.StatusDetails`."""

    retry_after_seconds: int = 0


class Status(Wire, frozen=True, kw_only=True):
    """`metav1.Status`, as errors have it: its `status` is a word, not an object."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None


class _ListMeta(Wire, frozen=True, kw_only=True):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _List(Wire, frozen=True, kw_only=True):
    metadata: _ListMeta = _ListMeta()
    items: list[msgspec.Raw] | None = None


class _Event(Wire, frozen=True, kw_only=True):
    type: str
    object: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: undecoded objects, the list's resource version, where it goes on."""

    items: tuple[msgspec.Raw, ...]
    resource_version: str
    next: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR, object undecoded."""

    type: str
    object: msgspec.Raw


class Malformed(ValueError):
    """JSON that is none, or does not have the form that we expect."""


@cache
def _decoder(type_: type[Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type_)


def _decode(raw: bytes | msgspec.Raw, type_: type[W]) -> W:
    try:
        value: W = _decoder(type_).decode(raw)
    except msgspec.MsgspecError as error:
        raise Malformed(str(error)) from error
    return value


def decode(kind: Kind[W], raw: bytes | msgspec.Raw) -> W:
    """The value that an object of the kind stands for. Raises Malformed."""
    return _decode(raw, kind.type)


def decode_meta(raw: bytes | msgspec.Raw) -> Meta:
    """Only the metadata, which even an object that we can't read has. Raises Malformed."""
    return _decode(raw, Partial).metadata


def decode_page(raw: bytes) -> Page:
    """A list's page. Raises Malformed."""
    page = _decode(raw, _List)
    return Page(tuple(page.items or ()), page.metadata.resource_version, page.metadata.continue_)


def decode_event(raw: bytes) -> WatchEvent:
    """A line of a watch. Raises Malformed."""
    event = _decode(raw, _Event)
    return WatchEvent(event.type, event.object)


def decode_status(raw: bytes | msgspec.Raw) -> Status:
    """What went wrong; the text itself as the message where it is no Status (proxies, 404)."""
    try:
        status = _decode(raw, Status)
    except Malformed:
        status = Status(message=bytes(raw).decode(errors="replace"))
    message = status.message.strip()
    if len(message) > MESSAGE_MAX:
        message = message[:MESSAGE_MAX] + "…"
    return msgspec.structs.replace(status, message=message)


def key_of(meta: Meta) -> Key:
    """Where a store keeps the object."""
    return meta.namespace, meta.name


def path(kind: Kind[Wire], name: str = "", *, namespace: str = "", subresource: str = "") -> str:
    """The path of an object, or of the kind's list if there is no name.

    A namespaced kind without namespace means all namespaces.
    """
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    parts = [root]
    if kind.namespaced and namespace:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(kind.plural)
    parts += [quote(part, safe="") for part in (name, subresource) if part]
    return "/".join(parts)


def full_body(
    kind: Kind[Wire], body: Mapping[str, Any], *, name: str = "", namespace: str = ""
) -> dict[str, Any]:
    """The body as plain JSON values, with apiVersion, kind, and the name where given."""
    plain: dict[str, Any] = msgspec.to_builtins(dict(body))
    metadata = dict(plain.get("metadata") or {})
    if name:
        metadata["name"] = name
    if namespace:
        metadata["namespace"] = namespace
    return {**plain, "apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}


def micro_time(wall: datetime) -> str:
    """A time as `metav1.MicroTime`."""
    return wall.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def encode(body: Mapping[str, Any]) -> bytes:
    """JSON text of plain values."""
    return msgspec.json.encode(body)
