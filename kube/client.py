"""The API server, over HTTPS.

Not by the `kubernetes` package's models and watches: they cost 20 times the memory, and have no
backoff. How it is reached says `outgate.kube.access`.
"""

import importlib.metadata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlencode

import structlog
import urllib3

from outgate.api.kinds import Kind
from outgate.api.meta import Wire
from outgate.kube import access, events, wire
from outgate.kube.access import Access
from outgate.kube.api import EventType, HasMetadata
from outgate.kube.errors import ApiNotFound, ApiRefused, ApiUnavailable, error_for
from outgate.kube.stream import READ_TIMEOUT, Stream, watch_seconds
from outgate.kube.wire import Malformed, Page

T = TypeVar("T")
W = TypeVar("W", bound=Wire)

log = structlog.get_logger("outgate.kube")

CONNECT_TIMEOUT = 3.0
REQUEST_TIMEOUT = 15.0

Query = Sequence[tuple[str, str]]


class Client:
    """An `Api`: a real API server. Threads may share it.

    `silence`: seconds without a word after which a watch counts as dead.
    """

    def __init__(self, access: Access, *, silence: float = READ_TIMEOUT) -> None:
        self._access = access
        self._silence = silence
        self._agent = f"outgate/{importlib.metadata.version('outgate')}"

    @classmethod
    def connect(cls, kubeconfig: str | None = None) -> "Client":
        """A client of the cluster that this process runs in, or that the kubeconfig names.

        See `outgate.kube.access.find`. Nothing is sent yet. Raises ApiUnavailable if the
        configuration is missing or wrong.
        """
        return cls(access.find(kubeconfig))

    def close(self) -> None:
        """Close idle connections."""
        self._access.pool.clear()

    def get(
        self, kind: Kind[W], name: str, *, namespace: str = "", timeout: float | None = None
    ) -> W | None:
        """See `Api.get`."""
        target = wire.path(kind, name, namespace=namespace)
        try:
            return self._value(kind, "GET", target, timeout=timeout)
        except ApiNotFound:
            return None

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
            for raw in page.items:
                try:
                    values.append(wire.decode(kind, raw))
                except Malformed as error:
                    meta = wire.decode_meta(raw)
                    log.warning(
                        "object can't be read, left out",
                        kind=kind.name,
                        namespace=meta.namespace,
                        name=meta.name,
                        why=str(error),
                    )
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
        target = wire.path(kind, namespace=namespace)
        selection = _selection(field_selector, label_selector)
        paging = [("limit", str(limit))] if limit else []
        query = [*selection, *paging]
        if resource_version:
            query.append(("resourceVersion", resource_version))
        while True:
            raw = self._call("GET", target, query=query, timeout=timeout)
            page = _read(wire.decode_page, raw, "GET", target)
            yield page
            if not page.next:
                return
            # A continued list must not name a resource version: the token does.
            query = [*selection, *paging, ("continue", page.next)]

    def watch(
        self,
        kind: Kind[Wire],
        *,
        resource_version: str,
        namespace: str = "",
        field_selector: str = "",
        label_selector: str = "",
    ) -> Stream:
        """See `Api.watch`."""
        target = wire.path(kind, namespace=namespace)
        query = [
            *_selection(field_selector, label_selector),
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", resource_version),
            ("timeoutSeconds", str(watch_seconds())),
        ]
        response = self._send("GET", target, query=query, timeout=_silent_for(self._silence))
        return Stream(response, f"watch {target}")

    def create(self, kind: Kind[W], body: Mapping[str, Any], *, timeout: float | None = None) -> W:
        """See `Api.create`."""
        full = wire.full_body(kind, body)
        target = wire.path(kind, namespace=full["metadata"].get("namespace", ""))
        return self._value(kind, "POST", target, body=full, timeout=timeout)

    def replace(self, kind: Kind[W], body: Mapping[str, Any], *, timeout: float | None = None) -> W:
        """See `Api.replace`."""
        full = wire.full_body(kind, body)
        metadata = full["metadata"]
        target = wire.path(kind, metadata["name"], namespace=metadata.get("namespace", ""))
        return self._value(kind, "PUT", target, body=full, timeout=timeout)

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
        target = wire.path(kind, name, namespace=namespace, subresource=subresource)
        query = [("fieldManager", manager), ("force", "true" if force else "false")]
        # The API's name for it says YAML; JSON is YAML.
        return self._value(
            kind,
            "PATCH",
            target,
            query=query,
            body=full,
            content_type="application/apply-patch+yaml",
        )

    def delete(self, kind: Kind[Wire], name: str, *, namespace: str = "", uid: str = "") -> bool:
        """See `Api.delete`."""
        target = wire.path(kind, name, namespace=namespace)
        options = {"kind": "DeleteOptions", "apiVersion": "v1"}
        body = {**options, "preconditions": {"uid": uid}} if uid else options
        try:
            self._call("DELETE", target, body=body)
        except ApiNotFound:
            return False
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

    def _value(
        self,
        kind: Kind[W],
        method: str,
        target: str,
        *,
        query: Query = (),
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        timeout: float | None = None,
    ) -> W:
        raw = self._call(
            method, target, query=query, body=body, content_type=content_type, timeout=timeout
        )
        return _read(lambda text: wire.decode(kind, text), raw, method, target)

    def _call(
        self,
        method: str,
        target: str,
        *,
        query: Query = (),
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        timeout: float | None = None,
    ) -> bytes:
        response = self._send(
            method,
            target,
            query=query,
            body=body,
            content_type=content_type,
            timeout=_within(timeout or REQUEST_TIMEOUT),
        )
        try:
            return response.data
        except urllib3.exceptions.HTTPError as error:
            raise ApiUnavailable(f"{method} {target}: {error}") from error

    def _send(
        self,
        method: str,
        target: str,
        *,
        query: Query = (),
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        timeout: urllib3.Timeout,
    ) -> urllib3.HTTPResponse:
        headers = {"Accept": "application/json", "User-Agent": self._agent}
        authorization = self._access.authorization()
        if authorization:
            headers["Authorization"] = authorization
        if body is not None:
            headers["Content-Type"] = content_type
        # Quoted as in a path: a "+" for a space is not understood everywhere.
        asked = "?" + urlencode(query, quote_via=quote, safe="") if query else ""
        try:
            answer = self._access.pool.request(
                method,
                f"{self._access.server}{target}{asked}",
                headers=headers,
                body=None if body is None else wire.encode(body),
                timeout=timeout,
                preload_content=False,
                # urllib3's own retries sleep through a Retry-After, deaf to our stop. All of our
                # callers are loops that try again anyway.
                retries=False,
            )
            response = cast("urllib3.HTTPResponse", answer)  # what a pool of connections gives
            if response.status < 300:
                return response
            text = response.data
        except (urllib3.exceptions.HTTPError, OSError) as error:
            # An OSError: a certificate can't be read. It may come back.
            raise ApiUnavailable(f"{method} {target}: {_reason(error)}") from error
        raise _refusal(response, text, method, target)


def _read(decode: Callable[[bytes], T], raw: bytes, method: str, target: str) -> T:
    try:
        return decode(raw)
    except Malformed as error:
        raise ApiRefused(f"{method} {target}: the answer can't be read: {error}") from error


def _within(seconds: float) -> urllib3.Timeout:
    """Connecting takes its part of the time that there is until the answer begins."""
    return urllib3.Timeout(connect=min(CONNECT_TIMEOUT, seconds), read=seconds, total=seconds)


def _silent_for(seconds: float) -> urllib3.Timeout:
    return urllib3.Timeout(connect=min(CONNECT_TIMEOUT, seconds), read=seconds)


def _refusal(response: urllib3.HTTPResponse, text: bytes, method: str, target: str) -> Exception:
    status = wire.decode_status(text)
    header = response.headers.get("Retry-After", "")
    retry_after = float(header) if header.isdigit() else None
    if retry_after is None and status.details and status.details.retry_after_seconds:
        retry_after = float(status.details.retry_after_seconds)
    message = f"{method} {target}: {response.status} {status.message or response.reason}"
    return error_for(response.status, message, retry_after=retry_after)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())


def _selection(field_selector: str, label_selector: str) -> list[tuple[str, str]]:
    pairs = (("fieldSelector", field_selector), ("labelSelector", label_selector))
    return [(name, value) for name, value in pairs if value]
