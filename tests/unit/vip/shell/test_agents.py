"""The vip process' ends of the Unix socket."""

import selectors
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outgate.vip.errors import PeerGone
from outgate.vip.protocol import Held, Lines, Message, Numbers, Report, Word, encode
from outgate.vip.shell.agents import Agents

WORD = Word(1, "a", "eth0", {"a": "192.0.2.1"})
LARGE = tuple(Held(f"2001:db8::{number:x}") for number in range(4096))
"""More than a socket's buffer takes at once."""


class Shell:
    """Agents on a selector that the test turns. words: what they have said."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.words: list[Word] = []
        self.refuse = False
        self.selector = selectors.DefaultSelector()
        self.agents = Agents(path, self.selector, self._take)

    def _take(self, word: Word) -> None:
        if self.refuse:
            raise PeerGone("nonsense")
        self.words.append(word)

    def turn(self, enough: Callable[[], object] = lambda: True) -> None:
        """Serves what is ready, and goes on until that is enough."""
        while True:
            for key, events in self.selector.select(5.0):
                key.data(events)
            if enough():
                return

    def agent(self) -> socket.socket:
        """One that has just come."""
        agent = socket.socket(socket.AF_UNIX)
        agent.settimeout(5.0)
        agent.connect(str(self.path))
        self.turn()
        return agent

    def idle(self) -> bool:
        return not self.selector.select(0)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path / "run" / "vip.sock")
    yield made
    made.agents.close()
    assert not made.selector.get_map(), "nothing stays registered"
    made.selector.close()


def heard(agent: socket.socket, *, seq: int) -> list[Report]:
    """The reports up to that one."""
    lines, found = Lines(), list[Report]()
    while not found or found[-1].seq != seq:
        found += [one for one in lines.feed(agent.recv(1 << 16)) if isinstance(one, Report)]
    return found


def test_a_word_is_taken_however_it_is_cut(shell: Shell) -> None:
    with shell.agent() as agent:
        data = encode(WORD)
        agent.sendall(data[:10])
        shell.turn()
        assert shell.words == []
        agent.sendall(data[10:] + data)
        shell.turn(lambda: len(shell.words) == 2)
        assert shell.words == [WORD, WORD]


def test_what_is_told_is_told_once(shell: Shell) -> None:
    with shell.agent() as agent:
        for report in (Report(1), Report(1), Report(2), Report(2, api=True)):
            shell.agents.tell(report)
        shell.agents.tell(Report(2, api=True))
        shell.agents.tell(Report(3))
        assert heard(agent, seq=3) == [Report(1), Report(2), Report(2, api=True), Report(3)]
        assert shell.idle()


def test_of_a_report_and_numbers_each_is_told_when_it_is_another(shell: Shell) -> None:
    with shell.agent() as agent:
        for message in ((Report(1), Numbers()), (Report(1), Numbers(sent=1)), (Report(2),)):
            shell.agents.tell(*message)
        lines, found = Lines(), list[Message]()
        while len(found) < 4:
            found += lines.feed(agent.recv(1 << 16))
        assert found == [Report(1), Numbers(), Numbers(sent=1), Report(2)]


def test_who_comes_later_is_told_how_things_are(shell: Shell) -> None:
    with shell.agent() as first:
        shell.agents.tell(Report(1))
        with shell.agent() as second:
            shell.agents.tell(Report(1))
            assert heard(second, seq=1) == [Report(1)]
        assert heard(first, seq=1) == [Report(1)]


def test_a_slow_reader_gets_the_newest_and_holds_up_nobody(shell: Shell) -> None:
    with shell.agent() as slow, shell.agent() as quick:
        for seq in range(1, 40):
            shell.agents.tell(Report(seq, LARGE))
            slow_is_full = len(shell.selector.select(0)) == 0
            got, lines = False, Lines()
            while not got:
                # The quick one's rest leaves as it reads.
                data = quick.recv(1 << 16)
                got = any(True for _ in lines.feed(data))
                for key, events in shell.selector.select(0):
                    key.data(events)
        assert slow_is_full, "who doesn't read wakes nobody"
        found: list[Report] = []
        lines = Lines()
        while not found or found[-1].seq != 39:
            found += [one for one in lines.feed(slow.recv(1 << 20)) if isinstance(one, Report)]
            for key, events in shell.selector.select(0):
                key.data(events)
            shell.agents.tell(Report(39, LARGE))
        assert len(found) <= 3, "what was old before it could be sent is left out"


@pytest.mark.parametrize(
    "nonsense", [b"hello\n", b"{}\n", b'{"type":"word","seq":1}\n', encode(WORD)]
)
def test_who_talks_nonsense_is_parted_with_and_the_others_stay(
    shell: Shell, nonsense: bytes
) -> None:
    with shell.agent() as sane, shell.agent() as mad:
        shell.refuse = True
        mad.sendall(nonsense)
        shell.turn()
        assert mad.recv(1) == b""
        shell.refuse = False
        sane.sendall(encode(WORD))
        shell.turn()
        assert shell.words == [WORD]


def test_who_goes_away_is_forgotten(shell: Shell) -> None:
    with shell.agent():
        pass
    shell.turn()
    shell.agents.tell(Report(1))
    assert shell.idle()


def test_who_goes_away_while_he_is_told_something_is_forgotten_too(shell: Shell) -> None:
    with shell.agent() as agent:
        shell.agents.tell(Report(1, LARGE))
        agent.shutdown(socket.SHUT_RD)
    shell.turn()
    shell.agents.tell(Report(2, LARGE))
    assert shell.idle()


def test_only_its_user_may_talk_and_a_former_processs_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "vip.sock"
    path.touch()
    shell = Shell(path)
    assert path.stat().st_mode & 0o777 == 0o600
    shell.agent().close()
    shell.agents.close()
