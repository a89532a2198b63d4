"""A node's vip process, all of it, as a thread in the node's namespace; its API is in memory."""

import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from kernel.harness import Namespace

from outgate.kube.fake import FakeApi
from outgate.vip.announcer import REFRESH
from outgate.vip.config import PORT
from outgate.vip.engine.settings import DEFAULTS
from outgate.vip.wiring import Place, loop_of

SLOW = replace(
    DEFAULTS,
    interval=0.4,
    lease=1.0,
    isolation=3.2,
    freshness=1.6,
    withhold=2.0,
    term=6.0,
    renew=2.0,
    roster_age=8.0,
    settle=30.0,
)
"""Four times the defaults: these tests are not about time, and three nodes share one process."""

KEYS = {"one": b"1" * 32, "active": b"one"}


class VipProcess:
    """folder: the node's own, where its socket and its files are. keys: the cluster's."""

    def __init__(self, namespace: Namespace, api: FakeApi, folder: Path, *, keys: Path) -> None:
        self._namespace, self._api = namespace, api
        self._place = Place(folder / "vip.sock", PORT, keys, "outgate")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self._place.socket

    def start(self) -> None:
        if self._thread is not None:
            return
        self._stop = threading.Event()
        self._namespace.inside(self._start)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        wall = time.time() - time.monotonic()
        loop = loop_of(self._place, SLOW, refresh=REFRESH, wall=wall, connect=lambda: self._api)
        with closing(loop):
            loop.run(self._stop)

    def halt(self) -> None:
        """As if to be started again: what it holds stays for a while."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join(10.0)
            assert not self._thread.is_alive(), "the vip process does not stop"
            self._thread = None


def write_keys(folder: Path) -> None:
    """The same for all nodes."""
    folder.mkdir(exist_ok=True)
    for name, content in KEYS.items():
        (folder / name).write_bytes(content)
