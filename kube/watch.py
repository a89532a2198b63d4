"""Keeps a store equal to what the API server holds of a kind: list, then watch, for ever.

The API server is shared by everybody, so this never asks in a tight loop: every failure, of
whatever kind, is followed by a pause that grows, with jitter, or by the one that the server asks
for. What was seen last stays in the store while the server is away.
"""

import random
import threading
import time
from collections.abc import Mapping
from typing import Generic, TypedDict, TypeVar, cast

import msgspec
import structlog
from prometheus_client import Counter

from outgate.api.kinds import Kind
from outgate.api.meta import Wire
from outgate.daemon.backoff import Backoff
from outgate.kube import wire
from outgate.kube.api import Api, HasMetadata, Watch
from outgate.kube.errors import ApiError, ApiExpired, ApiNotFound, ApiUnavailable, error_for
from outgate.kube.store import Store
from outgate.kube.wire import Key, Malformed, WatchEvent

T = TypeVar("T", bound=Wire)

log = structlog.get_logger("outgate.kube")

EVENTS = Counter("outgate_watch_events_total", "Events received from watches.", ["kind"])
LISTS = Counter("outgate_watch_lists_total", "Times that all objects were listed.", ["kind"])
FAILURES = Counter(
    "outgate_watch_failures_total", "Lists and watches that failed.", ["kind", "error"]
)
BAD = Counter(
    "outgate_watch_bad_objects_total", "Objects that could not be read, and were skipped.", ["kind"]
)

BACKOFF = Backoff(first=0.8, most=8.0)
"""client-go's reflector waits for 30 s at most: for so long, after a few faults in a row, a node
would not see what was changed meanwhile."""

PAGE = 100
"""Objects per page: decoding one holds the interpreter for 7 ms; 500 took 64 (measured)."""

HEALTHY = 5.0
"""A watch that lasted for so many seconds, or brought anything, was no failure."""

ABSENT_RETRY = 60.0
"""Seconds between two looks for a kind that the server does not know."""

ABSENT_CONFIRM = 60.0
"""A kind that has objects and is suddenly unknown must stay so for this many seconds before its
objects count as gone: an API server that starts may not know a custom kind yet."""

REFUSALS_BEFORE_LIST = 3
"""A server that answers, but refuses to go on from our resource version, may have lost it (a
restored backup): after so many failures in a row, list again."""


RETRY_AFTER_MAX = 300.0
"""A longer Retry-After, in seconds, is taken for a mistake."""


class _Selection(TypedDict):
    namespace: str
    field_selector: str
    label_selector: str


class Reflector(Generic[T]):
    """Lists and watches one kind into a store; a Task.

    namespace, field_selector, label_selector: only those objects.
    from_cache: the first list may come from the server's cache. Cheap for the server, perhaps a
    little old: for the many agents that each ask for little.
    name: of the task, by default after the kind; to be given where two watch one kind.
    A kind that the server does not know counts as empty, and is looked for now and then.
    An object that can't be read is skipped, counted and logged once; if an older form of it is
    known, that is kept until the object is gone.
    """

    def __init__(
        self,
        api: Api,
        kind: Kind[T],
        store: Store[T],
        *,
        namespace: str = "",
        field_selector: str = "",
        label_selector: str = "",
        from_cache: bool = False,
        name: str = "",
        backoff: Backoff = BACKOFF,
        absent_retry: float = ABSENT_RETRY,
        absent_confirm: float = ABSENT_CONFIRM,
    ) -> None:
        self.name = name or f"watch {kind.plural}"
        self._api = api
        self._kind = kind
        self._store = store
        self._selection = _Selection(
            namespace=namespace, field_selector=field_selector, label_selector=label_selector
        )
        self._from_cache = from_cache
        self._backoff = backoff
        self._absent_retry = absent_retry
        self._absent_confirm = absent_confirm
        self._version = ""  # empty: list first
        self._failures = 0  # in a row
        self._complained = False
        self._absent_since: float | None = None
        self._skipped: dict[Key, str] = {}
        self._watch: Watch | None = None
        self._watch_lock = threading.Lock()

    @property
    def skipped(self) -> Mapping[Key, str]:
        """Objects that could not be read, and why."""
        return dict(self._skipped)

    @property
    def absent(self) -> bool:
        """Whether the server does not know the kind."""
        return self._absent_since is not None

    def ready(self) -> bool:
        """Whether the store has ever held all there is."""
        return self._store.synced

    def run(self, stop: threading.Event) -> None:
        """List and watch until stopped. API errors never leave it."""
        closer = threading.Thread(
            target=self._close_on, args=(stop,), name=f"{self.name} stop", daemon=True
        )
        closer.start()
        while not stop.is_set():
            stop.wait(self._step(stop))

    def _step(self, stop: threading.Event) -> float:
        """List if need be, and watch once; return how long to wait before the next step."""
        try:
            if not self._version:
                self._list()
            began = time.monotonic()
            lively = self._watch_once(stop)
        except ApiNotFound as error:
            return self._unknown(error)
        except ApiError as error:
            return 0.0 if stop.is_set() else self._failed(error)
        if time.monotonic() - began >= HEALTHY:
            self._recovered()
            return 0.0
        # Ended at once: a server, or a proxy, that does so every time must not be hammered.
        if not lively:
            self._failures += 1
        return self._backoff.wait(max(1, self._failures))

    def _list(self) -> None:
        # The cache is good enough to begin with; after "too old" it might be what is too old.
        version = "0" if self._from_cache and not self._store.synced else ""
        try:
            self._list_by(PAGE, version)
        except ApiExpired:
            # The pages took longer than the server remembers: all on one, then.
            self._list_by(0, "")

    def _list_by(self, limit: int, version: str) -> None:
        LISTS.labels(self._kind.name).inc()
        items: dict[Key, T] = {}
        bad: dict[Key, str] = {}
        listed = ""
        for page in self._api.pages(
            self._kind, limit=limit, resource_version=version, **self._selection
        ):
            listed = page.resource_version
            for raw in page.items:
                self._read_into(items, bad, raw)
        self._skipped = bad
        self._present()
        self._store.replace(items)
        self._version = listed

    def _watch_once(self, stop: threading.Event) -> bool:
        """Follow one watch to its end; whether it brought anything."""
        watch = self._api.watch(self._kind, resource_version=self._version, **self._selection)
        with self._watch_lock:
            self._watch = watch
        lively = False
        try:
            if stop.is_set():
                watch.close()
            for event in watch:
                self._handle(event)
                lively = True
                if self._failures:
                    self._recovered()
        finally:
            with self._watch_lock:
                self._watch = None
        return lively

    def _handle(self, event: WatchEvent) -> None:
        if event.type == "ERROR":
            status = wire.decode_status(event.object)
            retry_after = status.details.retry_after_seconds if status.details else 0
            self._version = ""
            raise error_for(
                status.code or 500,
                f"{self.name}: {status.code} {status.message}",
                retry_after=float(retry_after) or None,
            )
        try:
            meta = wire.decode_meta(event.object)
        except Malformed as error:
            self._version = ""
            raise ApiExpired(f"{self.name}: not an object: {error}") from error
        EVENTS.labels(self._kind.name).inc()
        key = wire.key_of(meta)
        match event.type:
            case "ADDED" | "MODIFIED":
                items: dict[Key, T] = {}
                self._read_into(items, self._skipped, event.object)
                for known, value in items.items():
                    self._store.put(known, value)
            case "DELETED":
                self._skipped.pop(key, None)
                self._store.remove(key)
            case _:
                pass  # BOOKMARK: nothing but a newer resource version
        self._version = meta.resource_version or self._version

    def _read_into(self, items: dict[Key, T], bad: dict[Key, str], raw: msgspec.Raw) -> None:
        """Decode one object into `items`; if that can't be done, note why in `bad`."""
        try:
            value = wire.decode(self._kind, raw)
        except Malformed as error:
            self._skip(items, bad, raw, str(error))
            return
        metadata = cast("HasMetadata", value).metadata
        key = (metadata.namespace, metadata.name)
        items[key] = value
        bad.pop(key, None)

    def _skip(self, items: dict[Key, T], bad: dict[Key, str], raw: msgspec.Raw, why: str) -> None:
        BAD.labels(self._kind.name).inc()
        try:
            key = wire.key_of(wire.decode_meta(raw))
        except Malformed:
            key = ("", "")  # it has not even a name
        if self._skipped.get(key) != why:
            log.warning(
                "object can't be read, skipped",
                kind=self._kind.name,
                namespace=key[0],
                name=key[1],
                why=why,
            )
        bad[key] = why
        # Dropping what it was would, for a policy, let traffic out by the wrong way.
        before = self._store.get(key[1], namespace=key[0])
        if before is not None:
            items[key] = before

    def _failed(self, error: ApiError) -> float:
        FAILURES.labels(self._kind.name, type(error).__name__).inc()
        self._failures += 1
        wait = self._backoff.wait(self._failures)
        if isinstance(error, ApiExpired):
            self._version = ""
            log.debug("resource version expired, listing again", kind=self._kind.name)
            return wait
        if self._failures % REFUSALS_BEFORE_LIST == 0 and error.status:
            self._version = ""
        if not self._complained:
            self._complained = True
            log.warning("watch failed, trying again", kind=self._kind.name, why=str(error))
        if isinstance(error, ApiUnavailable) and error.retry_after is not None:
            # Later than asked for, never earlier.
            asked = min(error.retry_after, RETRY_AFTER_MAX)
            wait = max(wait, asked * (1 + self._backoff.jitter * random.random()))
        return wait

    def _recovered(self) -> None:
        if self._complained:
            log.info("watch works again", kind=self._kind.name, failures=self._failures)
        self._failures, self._complained = 0, False

    def _unknown(self, error: ApiNotFound) -> float:
        now = time.monotonic()
        self._version = ""
        if self._absent_since is None:
            self._absent_since = now
            log.info("server does not know the kind", kind=self._kind.name, why=str(error))
        if len(self._store) and now - self._absent_since < self._absent_confirm:
            self._failures += 1
            return self._backoff.wait(self._failures)
        self._store.replace({})
        self._failures = 0
        return self._absent_retry * (1 + self._backoff.jitter * random.random())

    def _present(self) -> None:
        if self._absent_since is not None:
            log.info("server knows the kind now", kind=self._kind.name)
            self._absent_since = None

    def _close_on(self, stop: threading.Event) -> None:
        stop.wait()
        with self._watch_lock:
            if self._watch is not None:
                self._watch.close()
