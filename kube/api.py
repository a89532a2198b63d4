"""What an API server is to us: the methods that the client and its fake share."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol, TypeVar

from outgate.api.kinds import Kind
from outgate.api.meta import ObjectMeta, Wire
from outgate.kube.wire import Page, WatchEvent

W = TypeVar("W", bound=Wire)

EventType = Literal["Normal", "Warning"]


class HasMetadata(Protocol):
    """Any of our values that stands for a Kubernetes object."""

    @property
    def metadata(self) -> ObjectMeta:
        """Its metadata."""


class Watch(Protocol):
    """A running watch: iterate for its events; ends when the server ends it, or on `close`."""

    def __iter__(self) -> Iterator[WatchEvent]:
        """Events as they come. Raises ApiUnavailable if the connection breaks or falls silent."""

    def close(self) -> None:
        """End it, from any thread: a read that waits returns."""


class Api(Protocol):
    """An API server. Thread-safe.

    Every method raises ApiUnavailable if there is no answer or the server asks to come back later,
    and ApiRefused if it is not allowed or not valid; what else it raises is said with it.
    Bodies are JSON values, or our wire values at any place in them; apiVersion and kind are added.
    `timeout` is in seconds.
    """

    def get(
        self, kind: Kind[W], name: str, *, namespace: str = "", timeout: float | None = None
    ) -> W | None:
        """The object, None if there is none."""

    def list(
        self,
        kind: Kind[W],
        *,
        namespace: str = "",
        field_selector: str = "",
        label_selector: str = "",
        limit: int = 500,
    ) -> tuple[list[W], str]:
        """All objects (fetched `limit` at a time), and the resource version of the list.

        An object that can't be read is left out, and logged. Raises ApiNotFound if the server
        does not know the kind, ApiExpired if the list took the server too long.
        """

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
        """`list`, page by page, objects undecoded.

        `resource_version` "0" lets the server answer from its cache: cheap for it, perhaps a
        little old, and all on one page. `timeout` is for each page; with a limit of 0 there is one.
        """

    def watch(
        self,
        kind: Kind[Wire],
        *,
        resource_version: str,
        namespace: str = "",
        field_selector: str = "",
        label_selector: str = "",
    ) -> Watch:
        """Changes since that resource version. Raises ApiExpired, ApiNotFound."""

    def create(self, kind: Kind[W], body: Mapping[str, Any], *, timeout: float | None = None) -> W:
        """A new object. Raises ApiConflict if there is one of that name."""

    def replace(self, kind: Kind[W], body: Mapping[str, Any], *, timeout: float | None = None) -> W:
        """Put the whole object in the place of the one of that `metadata.resourceVersion`.

        Raises ApiConflict if it has changed since, ApiNotFound if it is gone.
        """

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
        """Server-side apply: what `manager` wants of the object, created if it isn't there.

        Fields that the manager applied before and leaves out now are removed. A subresource of an
        object that isn't there raises ApiNotFound. Without `force`, ApiConflict if a field that
        differs has another manager.
        """

    def delete(self, kind: Kind[Wire], name: str, *, namespace: str = "", uid: str = "") -> bool:
        """Delete the object; False if there was none.

        With `uid`, only that very object: raises ApiConflict if another bears its name.
        """

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
        """Tell people what happened to an object; the same again only counts up.

        Never raises: an Event that is lost is logged, and is no reason to fail.
        """
