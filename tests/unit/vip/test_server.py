"""Agent and vip over a real Unix socket, with a LAN in memory."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

from outgate.daemon.task import Task
from outgate.vip.client import VipClient
from outgate.vip.fake import FakeLan
from outgate.vip.holder import Holder
from outgate.vip.model import Holding, Link
from outgate.vip.server import VipServer

VIP = ip_address("203.0.113.7")
HELD = Holding(VIP, "eth0")
LINK = Link("eth0", "02:aa:00:00:00:01", True, frozenset({ip_network("203.0.113.0/24")}))


@contextmanager
def running(task: Task) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=task.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5.0)
        assert not thread.is_alive(), "did not stop"


def eventually(true: Callable[[], bool], *, within: float = 5.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "not in time"
        threading.Event().wait(0.005)


def server(lan: FakeLan, path: Path, *, adopt: bool = False) -> VipServer:
    holder = Holder(addresses=lambda: lan, wire=lambda: lan, adopt=lambda: adopt)
    return VipServer(holder, path=path)


def test_what_the_agent_says_is_held_and_reported(tmp_path: Path) -> None:
    lan = FakeLan(links={LINK})
    client = VipClient(path=tmp_path / "vip.sock")
    with running(server(lan, tmp_path / "vip.sock")), running(client):
        client.hold([VIP], interface="eth0")
        assert not client.ready()
        eventually(client.ready)
        assert client.state().held[0].address == "203.0.113.7"
        assert lan.owned == {HELD}
        client.hold([], interface="eth0")
        eventually(lambda: client.state().settled and not lan.owned)


def test_when_the_agent_goes_away_the_address_stays(tmp_path: Path) -> None:
    lan = FakeLan(links={LINK})
    path = tmp_path / "vip.sock"
    with running(server(lan, path)):
        first = VipClient(path=path)
        with running(first):
            first.hold([VIP], interface="eth0")
            eventually(first.ready)
        announced = len(lan.log)
        eventually(lambda: len(lan.log) > announced)  # the train goes on
        assert lan.owned == {HELD}


def test_a_vip_restart_waits_for_the_agents_word_which_comes_by_itself(tmp_path: Path) -> None:
    lan = FakeLan(links={LINK})
    path = tmp_path / "vip.sock"
    client = VipClient(path=path)
    with running(client):
        with running(server(lan, path)):
            client.hold([VIP], interface="eth0")
            eventually(client.ready)
        eventually(lambda: not client.state().connected)
        assert not client.ready()
        assert lan.owned == {HELD}
        lan.log.clear()
        with running(server(lan, path, adopt=True)):
            eventually(client.ready)
    assert "remove" not in " ".join(lan.log)
    assert lan.owned == {HELD}


def test_a_peer_that_talks_nonsense_is_parted_with_and_nothing_else_changes(tmp_path: Path) -> None:
    lan = FakeLan(links={LINK}, owned={HELD})
    path = tmp_path / "vip.sock"
    vip = server(lan, path, adopt=True)
    with running(vip):
        eventually(vip.ready)
        for nonsense in (
            b"hello\n",
            b'{"type":"hold","seq":1,"addresses":["seven"],"interface":"eth0"}\n',
        ):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(5.0)
                peer.connect(str(path))
                peer.sendall(nonsense)
                while peer.recv(65536):
                    pass
        assert lan.owned == {HELD}
