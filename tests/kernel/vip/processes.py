"""Whole vip processes for tests: one in a namespace, and the agent's end of its socket."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from outgate.vip.protocol import Group, Lines, Message, Numbers, Report, Trouble, Word, encode

M = TypeVar("M", Report, Numbers)


def eventually(true: Callable[[], object], *, within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "not in time"
        threading.Event().wait(0.02)


def some_keys(folder: Path) -> Path:
    """The folder of a key that all nodes have."""
    keys = folder / "keys"
    keys.mkdir()
    (keys / "one").write_bytes(b"k" * 32)
    (keys / "active").write_bytes(b"one")
    return keys


class Vip:
    """A node's vip process, and the agent's end of its socket.

    enter: the command that enters the node's namespace. folder: its files, as of /run. mesh: of
    each node, its underlay address. options: of the command, by their names. run: what runs the
    process, by Python.
    """

    def __init__(
        self,
        enter: Sequence[str],
        host: str,
        folder: Path,
        *,
        mesh: Mapping[str, str],
        options: Mapping[str, object],
        run: Sequence[str] = ("-m", "outgate.vip"),
    ) -> None:
        self.host, self.path = host, folder / "vip.sock"
        self._mesh = dict(mesh)
        self._seq = 0
        flags = [f"--{name}={value}" for name, value in {"socket": self.path, **options}.items()]
        self.log = folder / "log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*enter, sys.executable, *run, *flags], stderr=log, stdout=log
            )
        self.agent: socket.socket | None = None
        self.troubles: tuple[Trouble, ...] = ()
        self._lines = Lines()
        self._unread: dict[type, Message] = {}

    def told(self, *addresses: str, members: tuple[str, ...] = ("a",)) -> None:
        """The agent's word on one gateway."""
        if self.agent is None:
            eventually(self._connects)
        assert self.agent is not None
        self._seq += 1
        group = Group("internet", "uid", addresses, members, members)
        ids = {address: number for number, address in enumerate(addresses, start=1)}
        word = Word(self._seq, self.host, "eth0", self._mesh, (group,), ids)
        self.agent.sendall(encode(word))

    def report(self) -> Report:
        """The next one; the last of them, if more have come."""
        return self._next(Report)

    def numbers(self) -> Numbers:
        """The next ones; the last of them, if more have come."""
        return self._next(Numbers)

    def _next(self, kind: type[M]) -> M:
        assert self.agent is not None
        while True:
            found = self._unread.pop(kind, None)
            if isinstance(found, kind):
                return found
            for one in self._lines.feed(self.agent.recv(1 << 16)):
                self._unread[type(one)] = one

    def now(self) -> Report:
        """What it says to an agent that has just come: how things are now."""
        lines = Lines()
        with socket.socket(socket.AF_UNIX) as agent:
            agent.settimeout(10.0)
            agent.connect(str(self.path))
            while True:
                for said in lines.feed(agent.recv(1 << 16)):
                    if isinstance(said, Report):
                        return said

    def _connects(self) -> bool:
        agent = socket.socket(socket.AF_UNIX)
        agent.settimeout(30.0)
        try:
            agent.connect(str(self.path))
        except OSError:
            agent.close()
            return False
        self.agent = agent
        return True

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, signum: int = signal.SIGTERM) -> None:
        if self.agent is not None:
            self.agent.close()
        if self.process.poll() is None:
            self.process.send_signal(signum)
            self.process.send_signal(signal.SIGCONT)
        self.process.wait(timeout=15)
