"""The segment edge on a real LAN: who answers, who speaks, and whether the way back is right."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address

import pytest
from kernel.harness import Namespace
from kernel.vip.processes import eventually
from kernel.vip.segment_lan import (
    VIP4,
    VIP6,
    SegmentLan,
    count,
    drive,
    mac,
    nft,
    own,
    started,
)

from outgate.api.view import IPAddress
from outgate.vip.engine.actions import CheckReturnPath, Probe
from outgate.vip.engine.events import ConflictSeen, Probed, ReturnPathChecked
from outgate.vip.segment import ReturnPathUnknown, SegmentEdge
from outgate.vip.segment.neighbours import ask_again
from outgate.vip.segment.prober import UNASKED
from outgate.vip.wire import LinkSockets, RawWire, frames, warm

pytestmark = pytest.mark.kernel

BOTH = (VIP4, VIP6)


@pytest.fixture(autouse=True, scope="module")
def _templates() -> None:
    warm()  # as the process does before it needs any


@pytest.fixture
def lan() -> Iterator[SegmentLan]:
    with contextlib.ExitStack() as stack:
        yield SegmentLan(stack)


def on_first(lan: SegmentLan, body: Callable[[SegmentEdge], None], *, router: bool = True) -> None:
    """Run a body in the first node's namespace, with an edge."""

    def inside() -> None:
        with contextlib.ExitStack() as stack:
            body(started(stack, "first", router=router))

    lan.hosts["first"].inside(inside)


def announced(lan: SegmentLan, host: str, address: IPAddress) -> None:
    def inside() -> None:
        with RawWire() as wire:
            wire.announce(address, interface="eth0", mac=mac(host))

    lan.hosts[host].inside(inside)


def probed(edge: SegmentEdge, *addresses: IPAddress) -> tuple[Probed, float]:
    began = time.monotonic()
    edge.probe(Probe(1, frozenset(addresses), 3, 0.1), now=began)
    (verdict,) = drive(edge, count(1))
    assert isinstance(verdict, Probed)
    return verdict, time.monotonic() - began


@pytest.mark.parametrize("holder", ["second", "stranger"])
def test_a_probe_finds_a_live_holder_and_nobody_else(lan: SegmentLan, holder: str) -> None:
    lan.take(holder, *BOTH)
    free4, free6 = ip_address("203.0.113.8"), ip_address("2001:db8::8")

    def body(edge: SegmentEdge) -> None:
        verdict, took = probed(edge, *BOTH, free4, free6)
        assert verdict.answered == dict.fromkeys(BOTH, mac(holder))
        assert took >= 0.1

    on_first(lan, body)


def test_a_probe_teaches_nobody_anything(lan: SegmentLan) -> None:
    on_first(lan, lambda edge: probed(edge, *BOTH) and None)
    for host in ("router", "second", "stranger"):
        assert mac("first") not in lan.hosts[host].run("ip neigh show")


def test_the_nodes_own_frames_are_no_answer(lan: SegmentLan) -> None:
    lan.take("first", *BOTH)

    def body(edge: SegmentEdge) -> None:
        edge.hold(BOTH)
        with RawWire() as wire:
            for vip in BOTH:
                wire.announce(vip, interface="eth0", mac=mac("first"))
        verdict, _ = probed(edge, *BOTH)
        assert verdict.answered == {}

    on_first(lan, body)


def test_of_two_that_probe_at_the_same_time_at_most_one_finds_an_address_free(
    lan: SegmentLan,
) -> None:
    found: dict[str, Probed] = {}
    ready = threading.Barrier(2, timeout=5.0)

    def prober(host: str) -> None:
        def inside() -> None:
            with contextlib.ExitStack() as stack:
                edge = started(stack, host)
                ready.wait()
                found[host], _ = probed(edge, *BOTH)

        lan.hosts[host].inside(inside)

    threads = [threading.Thread(target=prober, args=(host,)) for host in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Who hears the other before he has asked himself asks no more: the other may go on.
    assert found["first"].answered.keys() | found["second"].answered.keys() == set(BOTH)
    assert set(found["first"].answered.values()) <= {mac("second")}
    assert set(found["second"].answered.values()) <= {mac("first")}


def test_a_thousand_addresses_are_asked_for_in_time(lan: SegmentLan) -> None:
    many = [ip_address("203.0.114.0") + n for n in range(1000)]
    lan.hosts["second"].ip("route add local 203.0.114.0/25 dev lo")

    def body(edge: SegmentEdge) -> None:
        verdict, _ = probed(edge, *many)
        assert set(verdict.answered) == set(many[:128])

    on_first(lan, body)


def test_a_link_that_is_down_leaves_addresses_unasked(lan: SegmentLan) -> None:
    def body(edge: SegmentEdge) -> None:
        lan.hosts["first"].ip("link set eth0 down")
        verdict, _ = probed(edge, VIP4)
        assert verdict.answered == {VIP4: UNASKED}
        lan.hosts["first"].ip("link set eth0 up")
        lan.take("second", VIP4)
        answers: list[dict[IPAddress, str]] = []
        deadline = time.monotonic() + 5.0  # the bridge forwards again when it has seen the carrier
        while answers[-1:] != [{VIP4: mac("second")}]:
            assert time.monotonic() < deadline, answers
            answers.append(dict(probed(edge, VIP4)[0].answered))

    on_first(lan, body)


@pytest.mark.parametrize("vip", BOTH, ids=["4", "6"])
def test_a_conflict_is_heard_as_it_comes_and_not_said_without_end(
    lan: SegmentLan, vip: IPAddress
) -> None:
    def body(edge: SegmentEdge) -> None:
        edge.hold(BOTH)
        announced(lan, "stranger", vip)
        assert drive(edge, count(1)) == [ConflictSeen(vip, mac("stranger"))]
        announced(lan, "stranger", own("stranger", vip.version))
        edge.hold(())
        announced(lan, "stranger", vip)
        verdict, _ = probed(edge, ip_address("203.0.113.99"))
        assert verdict.answered == {}

    on_first(lan, body)


def test_who_speaks_right_after_a_probe_is_a_conflict(lan: SegmentLan) -> None:
    def body(edge: SegmentEdge) -> None:
        verdict, _ = probed(edge, *BOTH)
        assert verdict.answered == {}
        announced(lan, "stranger", VIP6)
        assert drive(edge, count(1)) == [ConflictSeen(VIP6, mac("stranger"))]

    on_first(lan, body)


@pytest.mark.parametrize("vip", BOTH, ids=["4", "6"])
def test_the_way_back_is_right_where_the_router_has_heard_the_announcement(
    lan: SegmentLan, vip: IPAddress
) -> None:
    lan.take("first", vip)
    lan.neighbour("router", vip, mac("second"))  # whose it was

    def body(edge: SegmentEdge) -> None:
        edge.hold({vip})
        # Its entry is new: until 1 s has passed, an announcement may not count (locktime).
        deadline = time.monotonic() + 5.0
        verdict = None
        while verdict != ReturnPathChecked(vip, came=True):
            assert time.monotonic() < deadline, verdict
            announced(lan, "first", vip)
            edge.check(CheckReturnPath(frozenset({vip})))
            (verdict,) = drive(edge, count(1))

    on_first(lan, body)


def ignores_announcements(lan: SegmentLan) -> None:
    """The router's nft rules: ARP whose sender is its target, and unsolicited advertisements."""
    nft(
        lan.hosts["router"],
        (
            "table arp deaf {",
            " chain input { type filter hook input priority 0;",
            f"  arp saddr ip {VIP4} arp daddr ip {VIP4} drop",
            " }",
            "}",
            "table ip6 deaf {",
            " chain input { type filter hook input priority 0;",
            "  icmpv6 type nd-neighbor-advert ip6 daddr ff02::1 drop",
            " }",
            "}",
        ),
    )


@pytest.mark.parametrize("vip", BOTH, ids=["4", "6"])
def test_a_router_that_drops_announcements_and_keeps_its_old_entry_is_reported(
    lan: SegmentLan, vip: IPAddress
) -> None:
    ignores_announcements(lan)
    lan.take("first", vip)
    lan.neighbour("router", vip, mac("second"))

    def body(edge: SegmentEdge) -> None:
        edge.hold({vip})
        announced(lan, "first", vip)
        edge.check(CheckReturnPath(frozenset({vip})))
        assert drive(edge, count(1)) == [ReturnPathChecked(vip, came=False)]
        # It has learned nothing from having been asked.
        assert mac("second") in lan.hosts["router"].run(f"ip neigh show to {vip}")
        lan.neighbour("router", vip, mac("first"))
        edge.check(CheckReturnPath(frozenset({vip})))
        assert drive(edge, count(1)) == [ReturnPathChecked(vip, came=True)]

    on_first(lan, body)


def test_rules_of_the_node_that_drop_all_packets_hide_no_reply(lan: SegmentLan) -> None:
    nft(
        lan.hosts["first"],
        (
            "table inet shut {",
            f" chain input {{ type filter hook prerouting priority -500; ip daddr {VIP4} drop;",
            " }",
            "}",
            "table netdev shut {",
            " chain input { type filter hook ingress device eth0 priority 0;",
            f"  ip daddr {VIP4} drop",
            " }",
            "}",
        ),
    )
    lan.take("first", VIP4)

    def body(edge: SegmentEdge) -> None:
        edge.hold({VIP4})
        edge.check(CheckReturnPath(frozenset({VIP4})))
        assert drive(edge, count(1)) == [ReturnPathChecked(VIP4, came=True)]

    on_first(lan, body)


def test_without_a_router_or_one_that_answers_nothing_is_claimed(lan: SegmentLan) -> None:
    lan.take("first", *BOTH)
    lan.hosts["router"].sysctl({"ipv4/icmp_echo_ignore_all": 1})

    def silent(edge: SegmentEdge) -> None:
        edge.hold({VIP4})
        edge.check(CheckReturnPath(frozenset({VIP4})))
        assert drive(edge, count(1)) == [
            ReturnPathUnknown(VIP4, "the router answers no echo requests")
        ]

    def none(edge: SegmentEdge) -> None:
        edge.hold(BOTH)
        edge.check(CheckReturnPath(frozenset(BOTH)))
        said = drive(edge, count(2))
        assert set(said) == {ReturnPathUnknown(vip, "no router is known") for vip in BOTH}

    def absent(edge: SegmentEdge) -> None:
        lan.hosts["router"].ip("link set eth0 down")
        lan.hosts["first"].ip("neigh flush dev eth0")
        edge.hold({VIP6})
        edge.check(CheckReturnPath(frozenset({VIP6})))
        assert drive(edge, count(1)) == [ReturnPathUnknown(VIP6, "the router's MAC is not known")]

    on_first(lan, silent)
    on_first(lan, none, router=False)
    on_first(lan, absent)


def test_frames_of_no_sense_and_a_storm_end_nothing(lan: SegmentLan) -> None:
    def body(edge: SegmentEdge) -> None:
        edge.hold(BOTH)

        def storm() -> None:
            with contextlib.closing(LinkSockets()) as sockets:
                for number in range(3000):
                    address = ip_address("203.0.113.9") if number % 3 else VIP4
                    for frame in (
                        *frames(address, mac("stranger")),
                        os.urandom(12) + b"\x08\x06" + os.urandom(40),
                        os.urandom(12) + b"\x86\xdd" + os.urandom(60),
                    ):
                        sockets.send(frame, interface="eth0")

        lan.hosts["stranger"].inside(storm)
        said = drive(edge, count(1))
        assert said == [ConflictSeen(VIP4, mac("stranger"))]
        edge.hold(())
        lan.take("second", VIP6)
        verdict, _ = probed(edge, VIP6)
        assert verdict.answered == {VIP6: mac("second")}

    on_first(lan, body)


@pytest.mark.parametrize("version", [4, 6])
def test_a_neighbour_that_is_back_is_found_as_soon_as_it_is_sought(
    lan: SegmentLan, version: int
) -> None:
    first, address = lan.hosts["first"], own("second", version)
    # So long that only who seeks will find.
    first.sysctl({f"ipv{version}/neigh/eth0/retrans_time_ms": 60_000})
    lan.hosts["second"].ip("link set eth0 down")

    def body(edge: SegmentEdge) -> None:
        ask_again(address, interface="eth0")
        assert not entry(first, address)  # nobody has sent it anything

        send(first, address)
        assert "INCOMPLETE" in entry(first, address)
        lan.hosts["second"].ip("link set eth0 up")
        if version == 6:  # went with the link
            lan.hosts["second"].ip(f"addr add {address}/64 dev eth0 nodad")

        def found() -> bool:
            edge.seek([address], interface="eth0")  # again and again, as guards do
            return mac("second") in entry(first, address)

        eventually(found, within=5.0)
        ask_again(address, interface="eth0")
        assert mac("second") in entry(first, address)
        edge.seek([address], interface="gone")  # nothing to be done about it

    on_first(lan, body)


def entry(host: Namespace, address: IPAddress) -> str:
    return host.run(f"ip neigh show to {address} dev eth0")


def send(host: Namespace, address: IPAddress) -> None:
    host.ip(f"neigh replace {address} dev eth0 use")
