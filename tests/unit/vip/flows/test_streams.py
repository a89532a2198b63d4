"""Streams between nodes, over the loopback."""

import socket
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import repeat

import pytest

from outgate.vip.flows import streams as module
from outgate.vip.flows.errors import FrameRefused, TableRefused
from outgate.vip.flows.framing import framed
from outgate.vip.flows.streams import Event, Lost, Received, Sent, Streams

HERE = ip_address("127.0.0.1")
PATIENCE = 5.0


class Seal:
    """Says who sends to whom, in the clear; believes only what is for its node."""

    def __init__(self, name: str) -> None:
        self._name = name

    def seal(self, to: str, payload: bytes) -> bytes:
        return f"{self._name}>{to}|".encode() + payload

    def open(self, frame: bytes) -> tuple[str, bytes]:
        head, _, payload = frame.partition(b"|")
        sender, _, to = head.decode("ascii", "replace").partition(">")
        if to != self._name:
            raise FrameRefused(f"for {to}")
        return sender, payload


@pytest.fixture
def two() -> Iterator[tuple[Streams, Streams]]:
    with _streams("a") as a, _streams("b") as b:
        yield a, b


def _streams(name: str) -> Streams:
    made = Streams(address=HERE, port=0, sealer=Seal(name), opener=Seal(name))
    made.know(frozenset((HERE,)))
    return made


def turn_until(done: Callable[[list[Event]], bool], *all_: Streams) -> list[Event]:
    """Turns all until the events so far are enough, and gives them."""
    events: list[Event] = []
    deadline = time.monotonic() + PATIENCE
    while not done(events):
        assert time.monotonic() < deadline, events
        for one in all_:
            events += one.turn(now=time.monotonic())
    return events


def send(sender: Streams, to: Streams, payloads: Iterator[bytes], name: str = "b") -> None:
    sender.send(name, HERE, payloads, now=time.monotonic(), port=to.port)


def test_what_is_sent_arrives_in_order_from_whom_it_is(two: tuple[Streams, Streams]) -> None:
    a, b = two
    send(a, b, iter([b"one", b"two"]))
    send(a, b, iter([b"three"]))

    events = turn_until(lambda events: len(events) == 4, a, b)

    received = [event for event in events if isinstance(event, Received)]
    assert received == [Received("a", text) for text in (b"one", b"two", b"three")]
    assert Sent("b") in events


def test_a_stream_is_used_again(two: tuple[Streams, Streams]) -> None:
    a, b = two
    for text in (b"one", b"two"):
        send(a, b, iter([text]))
        turn_until(lambda events, text=text: Received("a", text) in events, a, b)  # type: ignore[misc]

    assert len(a._out) == len(b._in) == 1


def test_large_payloads_arrive_whole(two: tuple[Streams, Streams]) -> None:
    a, b = two
    payloads = [bytes((number,)) * 60_000 for number in range(50)]
    send(a, b, iter(payloads))

    events = turn_until(lambda events: len(events) == 51, a, b)

    assert [event.payload for event in events if isinstance(event, Received)] == payloads


def test_a_node_that_does_not_read_holds_up_nobody(two: tuple[Streams, Streams]) -> None:
    a, b = two
    made = 0

    def endless() -> Iterator[bytes]:
        nonlocal made
        for payload in repeat(bytes(30_000)):
            made += 1
            yield payload

    with socket.create_server((str(HERE), 0)) as stuck:
        a.send("stuck", HERE, endless(), now=time.monotonic(), port=stuck.getsockname()[1])
        deadline = time.monotonic() + PATIENCE
        before = -1
        while made != before and time.monotonic() < deadline:
            before = made
            for _ in range(20):
                a.turn(now=time.monotonic())
        send(a, b, iter([b"one"]))
        turn_until(lambda events: Received("a", b"one") in events, a, b)

        lost = a.turn(now=time.monotonic() + module.PATIENCE + 1)

    assert made == before, "what it makes is bounded by what TCP takes"
    assert [event.peer for event in lost if isinstance(event, Lost)] == ["stuck"]


def test_what_is_given_up_is_closed(two: tuple[Streams, Streams]) -> None:
    a, _ = two
    closed = []

    def listing() -> Iterator[bytes]:
        try:
            yield from repeat(bytes(30_000))
        finally:
            closed.append(True)

    with socket.create_server((str(HERE), 0)) as stuck:
        a.send("stuck", HERE, listing(), now=time.monotonic(), port=stuck.getsockname()[1])
        now = time.monotonic()
        deadline = now + PATIENCE
        while not a.turn(now=now) and time.monotonic() < deadline:
            now += module.PATIENCE + 1

    assert closed == [True]


def test_what_can_not_be_read_ends_its_stream_only(two: tuple[Streams, Streams]) -> None:
    a, b = two

    def listing() -> Iterator[bytes]:
        yield b"one"
        raise TableRefused("no more")

    send(a, b, listing())

    events = turn_until(lambda events: len(events) == 2, a, b)

    assert Received("a", b"one") in events and Lost("b", "no more") in events


def test_nobody_listening_is_told(two: tuple[Streams, Streams]) -> None:
    a, _ = two
    with socket.create_server((str(HERE), 0)) as gone:
        port = gone.getsockname()[1]
    a.send("gone", HERE, iter([b"one"]), now=time.monotonic(), port=port)

    (event,) = turn_until(bool, a)

    assert isinstance(event, Lost) and event.peer == "gone"


@pytest.mark.parametrize(
    "data",
    [framed(b"x>somebody|forged"), b"\xff\xff\xff\xff", b"\0\0\0\0"],
    ids=["not believed", "too long", "empty"],
)
def test_a_connection_that_says_what_is_not_believed_is_closed(
    two: tuple[Streams, Streams], data: bytes
) -> None:
    _, b = two
    with socket.create_connection((str(HERE), b.port)) as forger:
        forger.settimeout(PATIENCE)
        forger.sendall(data)

        (event,) = turn_until(bool, b)

        assert isinstance(event, Lost) and event.peer == str(HERE)
        assert forger.recv(1) == b""


def test_strangers_are_not_let_in(two: tuple[Streams, Streams]) -> None:
    _, b = two
    b.know(frozenset())
    with socket.create_connection((str(HERE), b.port)) as stranger:
        stranger.setblocking(False)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert b.turn(now=time.monotonic()) == []
            try:
                assert stranger.recv(1) == b""
                return
            except BlockingIOError:
                continue
    pytest.fail("still connected")


def test_who_reads_no_more_has_the_others_wait(two: tuple[Streams, Streams]) -> None:
    a, b = two
    send(a, b, iter([b"one"]))
    turn_until(lambda events: Received("a", b"one") in events, a, b)
    send(a, b, iter([b"two"]))
    turn_until(lambda events: Sent("b") in events, a)

    for _ in range(10):
        assert b.turn(now=time.monotonic(), reading=False) == []

    turn_until(lambda events: Received("a", b"two") in events, b)


def test_a_stream_with_nothing_to_say_ends_without_a_word(two: tuple[Streams, Streams]) -> None:
    a, b = two
    send(a, b, iter([b"one"]))
    turn_until(lambda events: Received("a", b"one") in events and Sent("b") in events, a, b)

    assert a.turn(now=time.monotonic() + module.IDLE + 1) == []

    deadline = time.monotonic() + PATIENCE
    while b._in and time.monotonic() < deadline:
        assert b.turn(now=time.monotonic()) == []
    assert not b._in and not a._out
