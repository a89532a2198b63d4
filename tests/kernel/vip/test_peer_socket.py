"""The socket between nodes on real links."""

import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address

import pytest
from kernel.harness import PATIENCE, Namespace
from unit.vip.peer.talk import KEYS, heartbeat, say

from outgate.api.view import IPAddress
from outgate.vip.engine.actions import Send
from outgate.vip.engine.events import HeartbeatHeard
from outgate.vip.peer.codec import Answer, PeerCodec
from outgate.vip.peer.errors import SocketRefused
from outgate.vip.peer.udp import BATCH, BUFFER, PeerSocket
from outgate.vip.peer.words import Datagram

pytestmark = pytest.mark.kernel

PORT = 7791
ADDRESSES = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8:1::1", "2001:db8:1::2")}


class Pair:
    """Two nodes on one wire, and their sockets."""

    def __init__(self, stack: ExitStack, version: int) -> None:
        self.a, self.b = Namespace("a"), Namespace("b")
        stack.callback(self.b.delete)
        stack.callback(self.a.delete)
        self.addresses = tuple(ip_address(text) for text in ADDRESSES[version])
        self.a.ip(f"link add eth0 type veth peer name eth0 netns {self.b.name}")
        for node, address in zip((self.a, self.b), self.addresses, strict=True):
            node.ip("link set eth0 up")
            length, nodad = (24, "") if version == 4 else (64, "nodad")
            node.ip(f"addr add {address}/{length} dev eth0 {nodad}")
        one, two = self.addresses
        self.one = stack.enter_context(self.a.inside(lambda: PeerSocket(one, port=PORT)))
        self.two = stack.enter_context(self.b.inside(lambda: PeerSocket(two, port=PORT)))


@pytest.fixture(params=[4, 6])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack, request.param)


def receive(peer: PeerSocket, count: int) -> list[tuple[bytes, IPAddress]]:
    came: list[tuple[bytes, IPAddress]] = []
    deadline = time.monotonic() + PATIENCE
    with selectors.DefaultSelector() as selector:
        selector.register(peer, selectors.EVENT_READ)
        while len(came) < count:
            assert selector.select(deadline - time.monotonic()), "not in time"
            batch = peer.receive()
            assert len(batch) <= BATCH
            came += batch
    return came


def feed(codec: PeerCodec, came: list[tuple[bytes, IPAddress]]) -> Answer:
    answers = [codec.feed(data, source, now=1.0) for data, source in came]
    return Answer(
        tuple(event for answer in answers for event in answer.events),
        tuple(datagram for answer in answers for datagram in answer.datagrams),
    )


def test_datagrams_come_with_their_source_many_at_a_time(pair: Pair) -> None:
    one, two = pair.addresses
    sent = [Datagram(two, b"%d" % number) for number in range(150)]
    assert pair.one.send(sent) == 150
    assert receive(pair.two, 150) == [(data, one) for _, data in sent]
    assert pair.two.receive() == []
    assert not pair.one.errors
    assert not pair.two.errors


def test_two_nodes_meet_over_it(pair: Pair) -> None:
    mesh = dict(zip("ab", pair.addresses, strict=True))
    one, two = PeerCodec("a", boot=1, keys=KEYS), PeerCodec("b", boot=1, keys=KEYS)
    for codec in (one, two):
        codec.know(mesh, now=0.0)
    words = [heartbeat("a", counter, peers=("b",), says=(say(),)) for counter in (1, 2)]

    pair.one.send(one.encode(Send(("b",), words[0])))
    hello = feed(two, receive(pair.two, 1)).datagrams
    pair.two.send(hello)
    feed(one, receive(pair.one, 1))
    again = one.encode(Send(("b",), words[1]))
    pair.one.send(again)
    need = feed(two, receive(pair.two, len(again)))
    pair.two.send(need.datagrams)
    missed = feed(one, receive(pair.one, len(need.datagrams))).datagrams
    pair.one.send(missed)

    assert feed(two, receive(pair.two, len(missed))).events == (HeartbeatHeard(words[1]),)


def test_they_are_marked_as_network_control(pair: Pair) -> None:
    _, two = pair.addresses
    pair.two.close()
    v4 = two.version == 4
    plain = pair.b.socket(socket.AF_INET if v4 else socket.AF_INET6, socket.SOCK_DGRAM)
    with plain:
        if v4:
            plain.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        else:
            plain.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
        plain.bind((str(two), PORT))
        pair.one.send([Datagram(two, b"data")])
        _, ancillary, _, _ = plain.recvmsg(100, 100)
    assert [data[0] for _, _, data in ancillary] == [48 << 2]
    with socket.socket(fileno=socket.dup(pair.one.fileno())) as same:
        assert same.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == 6
        assert same.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * BUFFER


def test_what_cannot_be_sent_is_counted_and_the_rest_still_is(pair: Pair) -> None:
    one, two = pair.addresses
    nowhere = ip_address("198.51.100.1" if one.version == 4 else "2001:db8:2::1")
    assert pair.one.send([Datagram(nowhere, b"lost"), Datagram(two, b"data")]) == 1
    assert pair.one.errors == {"ENETUNREACH": 1}
    assert receive(pair.two, 1) == [(b"data", one)]


def test_a_firewall_that_refuses_is_counted(pair: Pair) -> None:
    rules = "table inet t { chain c { type filter hook output priority 0; udp dport 7791 drop; }; }"
    pair.a.run("nft -f -", script=rules)
    assert pair.one.send([Datagram(pair.addresses[1], b"data")]) == 0
    assert pair.one.errors == {"EPERM": 1}


def test_an_address_that_is_not_here_is_said(pair: Pair) -> None:
    absent = pair.addresses[1]
    with pytest.raises(SocketRefused, match=f"no socket on {absent}, UDP port {PORT}"):
        pair.a.inside(lambda: PeerSocket(absent, port=PORT))
