"""The sockets beneath: what a storm may bring, and links that are swapped."""

import contextlib
import select
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from kernel.vip.segment_lan import VIP4, SegmentLan, count, drive, know, mac, started

from outgate.vip.engine.events import ConflictSeen
from outgate.vip.segment.filters import ARP_FRAMES
from outgate.vip.segment.taps import REST, WINDOW, Kind, Taps
from outgate.vip.wire import LinkSockets, RawWire, frames, warm

pytestmark = pytest.mark.kernel

ARP = Kind(0x0806, ARP_FRAMES)
FOREIGN = ip_address("203.0.113.99")


@pytest.fixture(autouse=True, scope="module")
def _templates() -> None:
    warm()  # as the process does before it needs any


@pytest.fixture
def lan() -> Iterator[SegmentLan]:
    with contextlib.ExitStack() as stack:
        yield SegmentLan(stack)


def spoken(lan: SegmentLan, number: int) -> None:
    """The stranger says something, that often."""

    def inside() -> None:
        with contextlib.closing(LinkSockets()) as sockets:
            for _ in range(number):
                sockets.send(frames(FOREIGN, mac("stranger"))[0], interface="eth0")

    lan.hosts["stranger"].inside(inside)


def test_a_storm_brings_its_share_and_no_more(lan: SegmentLan) -> None:
    def inside() -> None:
        with contextlib.closing(Taps(storm=1000)) as taps, select.epoll() as poll:
            assert taps.open({("eth0", ARP): None}) == {}
            poll.register(taps.fileno(), select.EPOLLIN)
            spoken(lan, 250)
            assert poll.poll(1.0)
            assert len(list(taps.hear(now=0.0))) == 100
            assert not poll.poll(0)
            assert taps.next_due() == WINDOW
            assert list(taps.hear(now=WINDOW / 2)) == []
            assert len(list(taps.hear(now=WINDOW))) == 100
            assert len(list(taps.hear(now=2 * WINDOW))) == 50
            # Much, though no storm: it is looked at again soon, but not for each frame.
            assert taps.next_due() == 2 * WINDOW + REST
            assert list(taps.hear(now=3 * WINDOW)) == []
            assert taps.next_due() is None
            spoken(lan, 1)
            assert poll.poll(1.0)

    lan.hosts["first"].inside(inside)


def test_a_link_that_is_not_there_is_named_and_the_others_are_heard(lan: SegmentLan) -> None:
    def inside() -> None:
        with contextlib.closing(Taps(storm=1000)) as taps:
            refused = taps.open({("eth9", ARP): None, ("eth0", ARP): None})
            assert refused.keys() == {"eth9"}
            assert refused["eth9"].startswith("hear eth9: ")
            spoken(lan, 1)
            assert [name for name, _ in taps.hear(now=0.0)] == ["eth0"]

    lan.hosts["first"].inside(inside)


def test_another_link_of_the_same_name_is_heard_and_spoken_to(lan: SegmentLan) -> None:
    first = lan.hosts["first"]

    def inside() -> None:
        with contextlib.ExitStack() as stack, RawWire() as wire:
            edge = started(stack, "first")
            edge.hold({VIP4})
            wire.announce(VIP4, interface="eth0", mac=mac("first"))
            lan.swap("first")
            first.ip(f"link set eth0 address {mac('first')} up")
            know(edge, "first")
            wire.announce(VIP4, interface="eth0", mac=mac("first"))
            lan.hosts["stranger"].inside(
                lambda: stack.enter_context(RawWire()).announce(
                    VIP4, interface="eth0", mac=mac("stranger")
                )
            )
            assert drive(edge, count(1)) == [ConflictSeen(VIP4, mac("stranger"))]

    first.inside(inside)
