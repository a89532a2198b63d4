"""The agent's end of the socket, against a vip process that says what a test has it say."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from outgate.vip.client import VipClient
from outgate.vip.protocol import Claimed, Group, Held, Lines, Numbers, Report, Word, encode

VIP = "203.0.113.7"
GROUP = Group("egw", "uid", (VIP,), ("node-a",), ("node-a",))
OTHER = Group("other", "uid-2", ("203.0.113.8",), ("node-a",), ("node-a",))
CLAIMS = (Claimed("node-a", "egw", 4, (VIP,)),)


def word(*groups: Group, interface: str = "eth0") -> Word:
    return Word(seq=0, node="node-a", interface=interface, nodes={}, groups=groups)


def eventually(true: Callable[[], object], *, within: float = 5.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "not in time"
        threading.Event().wait(0.005)


class Process:
    """A vip process' socket, with the agent's connection accepted."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.settimeout(5.0)
        self._listening.bind(str(path))
        self._listening.listen()
        self._agent, _ = self._listening.accept()
        self._agent.settimeout(5.0)
        self._lines = Lines()

    def word(self) -> Word:
        """The next one."""
        while True:
            for message in self._lines.feed(self._agent.recv(65536)):
                assert isinstance(message, Word)
                return message

    def say(self, message: Report | Numbers) -> None:
        self._agent.sendall(encode(message))

    def die(self) -> None:
        self._agent.close()
        self._listening.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vip.sock"


@pytest.fixture
def client(path: Path) -> Iterator[VipClient]:
    """Running."""
    with running(VipClient(path=path)) as made:
        yield made


@contextmanager
def running(made: VipClient) -> Iterator[VipClient]:
    stop = threading.Event()
    thread = threading.Thread(target=made.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        stop.set()
        thread.join(5.0)
        assert not thread.is_alive(), "did not stop"


def test_the_word_is_said_with_a_number_and_its_answer_settles_it(
    client: VipClient, path: Path
) -> None:
    client.tell(word(GROUP))
    process = Process(path)
    heard = process.word()
    assert heard.groups == (GROUP,)
    assert not client.state().settled and not client.ready()
    process.say(Report(heard.seq - 1))
    process.say(Report(heard.seq, held=(Held(VIP, "eth0"),)))
    eventually(lambda: client.state().settled)
    assert client.ready()
    process.die()


def test_numbers_are_those_of_the_process_that_listens(client: VipClient, path: Path) -> None:
    client.tell(word(GROUP))
    process = Process(path)
    heard = process.word()
    process.say(Report(heard.seq))
    process.say(Numbers(sent=7))
    eventually(lambda: client.state().numbers == Numbers(sent=7))
    assert client.state().settled
    process.die()
    eventually(lambda: not client.state().connected)
    assert client.state().numbers is None
    assert client.state().report is not None


def test_a_new_word_is_not_settled_by_the_answer_to_the_last(client: VipClient, path: Path) -> None:
    client.tell(word(GROUP))
    process = Process(path)
    first = process.word()
    process.say(Report(first.seq))
    eventually(lambda: client.state().settled)
    client.tell(word(GROUP, OTHER))
    assert not client.state().settled
    second = process.word()
    assert second.seq > first.seq
    process.say(Report(second.seq))
    eventually(lambda: client.state().settled)
    process.die()


def test_the_same_word_is_said_once(client: VipClient, path: Path) -> None:
    client.tell(word(GROUP))
    process = Process(path)
    first = process.word()
    client.tell(word(GROUP))
    client.unfit({})
    client.tell(word(GROUP, interface="eth1"))
    assert process.word().seq == first.seq + 1
    process.die()


def test_what_hinders_the_node_is_said_with_each_word_until_it_is_over(
    client: VipClient, path: Path
) -> None:
    client.unfit({"egw": "uplink down", "nobody's": "no such gateway"})
    client.tell(word(GROUP, OTHER))
    process = Process(path)
    assert [group.unfit for group in process.word().groups] == ["uplink down", ""]
    client.tell(word(GROUP))
    assert [group.unfit for group in process.word().groups] == ["uplink down"]
    client.unfit({})
    assert process.word().groups == (GROUP,)
    process.die()


@pytest.mark.parametrize(
    ("groups", "asked"),
    [
        (None, False),
        ((), False),
        ((Group("egw", "uid", (), ("node-a",), ()),), False),
        ((GROUP,), True),
        ((Group("egw", "uid", (), ("node-a",), ()), OTHER), True),
    ],
    ids=["nothing said yet", "no member", "no address in use", "addresses", "of one of two"],
)
def test_who_has_nothing_to_hold_is_ready_without_a_vip_process(
    path: Path, groups: tuple[Group, ...] | None, asked: bool
) -> None:
    client = VipClient(path=path)
    if groups is not None:
        client.tell(word(*groups))
    assert client.asked() == asked
    assert client.ready() == (not asked)


def test_what_hinders_an_address_is_a_problem_and_the_node_is_not_ready(
    client: VipClient, path: Path
) -> None:
    client.tell(word(GROUP))
    process = Process(path)
    held = (Held(VIP, error="already on eth0"), Held("203.0.113.8", "eth0"))
    process.say(Report(process.word().seq, held=held))
    eventually(lambda: client.state().settled)
    assert client.state().problems == (f"{VIP}: already on eth0",)
    assert not client.ready()
    process.die()


def test_a_process_that_begins_anew_is_told_again_and_wipes_nothing_until_it_answers(
    client: VipClient, path: Path
) -> None:
    client.tell(word(GROUP))
    process = Process(path)
    first = process.word()
    said = Report(first.seq, held=(Held(VIP, "eth0"),), claims=CLAIMS)
    process.say(said)
    eventually(lambda: client.state().settled)
    process.die()
    eventually(lambda: not client.state().connected)
    assert client.state().report == said
    assert not client.ready()

    heard = threading.Event()
    client.subscribe(heard.set)
    process = Process(path)
    assert process.word() == first
    process.say(Report(0, knows=False))  # it has not read the word yet
    assert heard.wait(5.0)
    eventually(lambda: client.state().connected)
    # The last process' answer is none of this one.
    assert not client.state().settled
    assert client.state().report == said
    process.say(Report(first.seq))
    eventually(lambda: client.state().settled)
    assert client.state().report == Report(first.seq)
    process.die()


def test_subscribers_hear_of_reports_and_of_a_process_that_goes(
    client: VipClient, path: Path
) -> None:
    seen: list[tuple[bool, int]] = []

    def note() -> None:
        state = client.state()
        seen.append((state.connected, state.report.seq if state.report else 0))

    client.tell(word(GROUP))
    client.subscribe(note)
    process = Process(path)
    number = process.word().seq
    process.say(Report(number))
    eventually(lambda: (True, number) in seen)
    process.die()
    eventually(lambda: seen[-1] == (False, number))


def test_nonsense_parts_with_the_process_and_keeps_what_is_known(
    client: VipClient, path: Path
) -> None:
    client.tell(word(GROUP))
    process = Process(path)
    said = Report(process.word().seq, claims=CLAIMS)
    process.say(said)
    eventually(lambda: client.state().settled)
    process._agent.sendall(b"hello\n")
    eventually(lambda: not client.state().connected)
    assert client.state().report == said
    process.die()
