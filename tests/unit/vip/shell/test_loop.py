"""The loop over real sockets: the agent's client, a LAN and a gate in memory."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from itertools import count
from pathlib import Path

import pytest

from outgate.api.view import IPAddress
from outgate.daemon.task import Task
from outgate.vip.client import VipClient
from outgate.vip.engine import events as ev
from outgate.vip.engine.actions import CheckReturnPath, Probe, ReadLeases, WriteLease
from outgate.vip.engine.settings import DEFAULTS
from outgate.vip.fake import FakeLan
from outgate.vip.gate.fake import FakeGate
from outgate.vip.holder import Holder
from outgate.vip.model import Holding, Link
from outgate.vip.peer.keyring import Keyring
from outgate.vip.protocol import Group, Word, encode
from outgate.vip.segment import LanLink
from outgate.vip.segment.edge import Heard
from outgate.vip.shell.driver import Driver, Identity
from outgate.vip.shell.edges import Edges
from outgate.vip.shell.loop import Speaker, VipLoop
from outgate.vip.shell.word_file import WordFile

VIP = ip_address("203.0.113.7")
HELD = Holding(VIP, "eth0")
LINK = Link("eth0", "02:aa:00:00:00:01", True, frozenset({ip_network("203.0.113.0/24")}))
_boots = count(1)


class EmptySegment:
    """Nobody else is there."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0)
        self._due: list[tuple[float, int]] = []

    def know(
        self, links: Iterable[LanLink], *, macs: Iterable[str], place: Callable[[IPAddress], str]
    ) -> Mapping[str, str]:
        return {}

    def hold(self, addresses: Iterable[IPAddress]) -> None:
        pass

    def probe(self, probe: Probe, *, now: float) -> None:
        self._due.append((now + probe.wait, probe.probe))

    def check(self, check: CheckReturnPath) -> None:
        pass

    def seek(self, addresses: Iterable[IPAddress], *, interface: str) -> None:
        pass

    def turn(self, *, now: float) -> tuple[Heard, ...]:
        over = [one for one in self._due if one[0] <= now]
        self._due = [one for one in self._due if one[0] > now]
        return tuple(ev.Probed(number, {}) for _, number in over)

    def next_due(self) -> float | None:
        return min((due for due, _ in self._due), default=None)

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)


class NoApi:
    """An API server that is away."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK)
        self._events: list[ev.Event] = []

    def submit(self, action: ReadLeases | WriteLease) -> None:
        self._events.append(ev.ApiFailed(action.request))
        os.eventfd_write(self._descriptor, 1)

    def own(self, uids: Mapping[str, str]) -> None:
        pass

    def fileno(self) -> int:
        return self._descriptor

    def take(self) -> Iterable[ev.Event]:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._descriptor)
        taken, self._events = self._events, []
        return taken

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "one").write_bytes(b"k" * 32)
    (folder / "active").write_bytes(b"one")
    return folder


class Process:
    """A vip process, but for the kernel. lan, gate: what it finds and leaves there."""

    def __init__(self, path: Path, keys: Path, *, port: int, lan: FakeLan | None = None) -> None:
        self.lan = lan or FakeLan(links={LINK})
        self.gate = FakeGate(time.monotonic)
        segment, leases, speaker = EmptySegment(), NoApi(), Speaker(port=port)
        holder = Holder(addresses=lambda: self.lan, wire=lambda: self.lan, adopt=lambda: True)
        self.driver = Driver(
            Edges(self.gate, holder, segment, leases, speaker),
            Identity(boot=next(_boots)),
            settings=DEFAULTS,
        )
        self.words = path.with_name(path.name + ".word")
        self.loop = VipLoop(
            self.driver,
            speaker=speaker,
            keyring=Keyring(keys),
            words=WordFile(self.words),
            path=path,
            leases=leases,
            segment=segment,
        )


@contextlib.contextmanager
def running(task: Task) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=task.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10.0)
        assert not thread.is_alive(), "did not stop"


def eventually(true: Callable[[], object], *, within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "not in time"
        threading.Event().wait(0.005)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def word(node: str, *members: str, addresses: Iterable[str] = (str(VIP),)) -> Word:
    nodes = {name: f"127.0.0.{number}" for number, name in enumerate(members, 1)}
    some = tuple(addresses)
    groups = (Group("internet", "uid", some, members, members),)
    return Word(0, node, "eth0", nodes, groups, {one: n for n, one in enumerate(some, 1)})


def test_what_the_agent_says_is_claimed_held_and_reported(tmp_path: Path, keys: Path) -> None:
    path = tmp_path / "vip.sock"
    process, client = Process(path, keys, port=free_port()), VipClient(path=path)
    with running(process.loop), running(client):
        client.tell(word("a", "a"))
        eventually(lambda: client.state().report and client.state().report.claims)  # type: ignore[union-attr]
        eventually(client.ready)
        assert process.lan.owned == {HELD}
        assert process.gate.answers(VIP)
        client.tell(word("a", "a", addresses=()))
        eventually(lambda: client.state().settled and not process.lan.owned)


def test_when_the_agent_goes_away_the_address_stays(tmp_path: Path, keys: Path) -> None:
    path = tmp_path / "vip.sock"
    process = Process(path, keys, port=free_port())
    with running(process.loop):
        client = VipClient(path=path)
        with running(client):
            client.tell(word("a", "a"))
            eventually(lambda: process.lan.owned)
        announced = len(process.lan.log)
        eventually(lambda: len(process.lan.log) > announced)  # the train goes on
        assert process.gate.answers(VIP)


def test_the_next_process_goes_on_by_the_last_word_with_no_agent_near(
    tmp_path: Path, keys: Path
) -> None:
    path, port = tmp_path / "vip.sock", free_port()
    client = VipClient(path=path)
    first = Process(path, keys, port=port)
    with running(first.loop), running(client):
        client.tell(word("a", "a"))
        eventually(lambda: first.lan.owned)
    assert first.lan.owned == {HELD}, "stopping is not letting go"
    second = Process(path, keys, port=port, lan=first.lan)
    with running(second.loop):
        eventually(lambda: second.gate.answers(VIP))


@pytest.mark.parametrize(
    "left",
    [b"half", b'{"type":"word","seq":0,"node":"a","interface":"e","nodes":{"a":"nowhere"}}'],
)
def test_a_last_word_that_is_nonsense_counts_as_none(
    tmp_path: Path, keys: Path, left: bytes
) -> None:
    process = Process(tmp_path / "vip.sock", keys, port=free_port())
    process.words.write_bytes(left)
    client = VipClient(path=tmp_path / "vip.sock")
    with running(process.loop), running(client):
        eventually(process.loop.ready)
        client.tell(word("a", "a"))
        eventually(lambda: process.lan.owned)


def test_a_word_that_is_nonsense_is_not_kept_for_the_next_process(
    tmp_path: Path, keys: Path
) -> None:
    process = Process(tmp_path / "vip.sock", keys, port=free_port())
    client = VipClient(path=tmp_path / "vip.sock")
    with running(process.loop), running(client):
        eventually(process.loop.ready)
        with socket.socket(socket.AF_UNIX) as mad:
            mad.settimeout(5.0)
            mad.connect(str(tmp_path / "vip.sock"))
            mad.sendall(encode(word("a", "a", addresses=["seven"])))
            assert mad.recv(1 << 16), "the first report"
            assert mad.recv(1 << 16) == b""
        assert not process.words.exists()
        client.tell(word("a", "a"))
        eventually(lambda: process.lan.owned)


def test_nodes_settle_over_sockets(tmp_path: Path, keys: Path) -> None:
    port, names = free_port(), ("a", "b", "c")
    addresses = [f"203.0.113.{last}" for last in range(7, 13)]
    processes = [Process(tmp_path / f"{name}.sock", keys, port=port) for name in names]
    clients = [VipClient(path=tmp_path / f"{name}.sock") for name in names]
    with contextlib.ExitStack() as stack:
        for process in processes:
            stack.enter_context(running(process.loop))
        for client in clients:
            stack.enter_context(running(client))
        for name, client in zip(names, clients, strict=True):
            client.tell(word(name, *names, addresses=addresses))

        def held() -> list[Holding]:
            return [holding for process in processes for holding in process.lan.owned]

        eventually(lambda: len(held()) == len(set(held())) == len(addresses))
        eventually(lambda: all(one.driver.claims.heard for one in processes))


class TestSpeaker:
    """The socket between nodes, and where it is."""

    def test_without_an_address_nothing_is_said(self) -> None:
        speaker = Speaker(port=free_port())
        assert not speaker.be_at(None)
        assert speaker.socket is None
        assert speaker.send([]) == 0

    def test_it_stays_where_it_is_and_moves_with_the_node(self) -> None:
        speaker = Speaker(port=free_port())
        assert speaker.be_at(ip_address("127.0.0.1"))
        first = speaker.socket
        assert not speaker.be_at(ip_address("127.0.0.1"))
        assert speaker.socket is first
        assert speaker.be_at(ip_address("127.0.0.2"))
        assert first is not None and first.fileno() == -1
        assert speaker.be_at(None)
        assert speaker.socket is None
        speaker.close()

    def test_an_address_that_is_not_here_yet_is_tried_again(self) -> None:
        port = free_port()
        speaker = Speaker(port=port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", port))
            assert not speaker.be_at(ip_address("127.0.0.1"))
            assert not speaker.be_at(ip_address("127.0.0.1"))
            assert speaker.socket is None
        assert speaker.be_at(ip_address("127.0.0.1"))
        speaker.close()
