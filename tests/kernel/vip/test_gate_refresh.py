"""Refreshes: what they leave alone, whom they don't hinder, and who else can't make one."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel.harness import Namespace
from kernel.vip.gate_lan import EGRESS4, GATEWAY, Node, Outside, opened

from outgate.vip.gate.channel import Channel
from outgate.vip.gate.errors import GateRefused, Lapsed
from outgate.vip.gate.frames import frame, mark
from outgate.vip.gate.kernel import GateKernel
from outgate.vip.gate.model import Family

pytestmark = pytest.mark.kernel

LONG = 30.0
"""Seconds: a lease that does not run out within a test."""

POLICIES = 10_000

NUMBER = 1
"""The gateway's, in the kernel."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Node, Outside]]:
    with opened(tmp_path) as (first, _, outside):
        first.begin()
        yield first, outside


def generation() -> int:
    channel = Channel()
    try:
        return channel.generation()
    finally:
        channel.close()


def lease(node: Node) -> int:
    """Milliseconds that it still has, in the table that has less."""
    return node.gate._refresher.left(NUMBER)


def test_a_hundred_refreshes_leave_the_generation_of_the_ruleset_as_it_was(
    world: tuple[Node, Outside],
) -> None:
    first, outside = world
    first.claim(LONG)
    before = first.inside(generation)

    def refresh(gate: GateKernel) -> None:
        for _ in range(100):
            gate.refresh(GATEWAY, until=time.monotonic() + LONG)

    first.word(refresh)
    assert first.inside(generation) == before
    assert outside.who_has(EGRESS4) == {first.mac}


def test_a_listing_of_ten_thousand_policies_comes_to_its_end_beside_ten_refreshes_a_second(
    world: tuple[Node, Outside],
) -> None:
    first, outside = world
    policies = "".join(
        f"add chain inet large p{n}\n"
        f"add rule inet large p{n} ip daddr 192.0.2.0/24 accept\n"
        f"add rule inet large p{n} meta mark set {n + 1} accept\n"
        f"add element inet large pods {{ 10.{n // 256}.{n % 256}.1 : goto p{n} }}\n"
        for n in range(POLICIES)
    )
    head = "add table inet large\nadd map inet large pods { type ipv4_addr : verdict; }\n"
    first.namespace.run("nft -f -", script=head + policies)

    def listing() -> float:
        begin = time.monotonic()
        listed = first.namespace.run("timeout 120 nft list ruleset")
        assert listed.count("meta mark set") == POLICIES
        return time.monotonic() - begin

    alone = listing()
    first.claim(LONG)
    over = threading.Event()

    def refresh() -> None:
        while not over.wait(0.1):
            first.gate.refresh(GATEWAY, until=time.monotonic() + LONG)

    refreshing = threading.Thread(target=first.inside, args=(refresh,))
    refreshing.start()
    try:
        beside = listing()
    finally:
        over.set()
        refreshing.join()
    assert first.gate.repaired == 0
    assert beside < 20 * alone  # one that begins anew at each refresh never ends
    assert outside.who_has(EGRESS4) == {first.mac}


def test_where_frames_are_lost_it_is_said_and_the_lease_is_what_it_was(
    world: tuple[Node, Outside],
) -> None:
    first, _ = world
    first.claim(LONG)
    # As where the kernel's queue is full.
    first.namespace.run(
        "nft -f -",
        script="table arp other { chain c { type filter hook input priority -900; "
        "iif lo drop; }; }\n",
    )
    with pytest.raises(GateRefused, match="fast enough"):
        first.word(lambda gate: gate.refresh(GATEWAY, until=time.monotonic() + 1.0))
    assert lease(first) > 1000
    first.namespace.run("nft delete table arp other")
    first.word(lambda gate: gate.refresh(GATEWAY, until=time.monotonic() + 1.0))
    assert 0 < lease(first) <= 1000


def test_a_refresh_may_also_make_a_lease_shorter(world: tuple[Node, Outside]) -> None:
    first, _ = world
    first.claim(LONG)
    first.word(lambda gate: gate.refresh(GATEWAY, until=time.monotonic() + 0.5))
    assert 0 < lease(first) <= 500


def test_a_lease_that_is_over_in_one_table_alone_has_lapsed(world: tuple[Node, Outside]) -> None:
    first, _ = world
    first.claim(LONG)
    first.namespace.run(f"nft delete element arp outgate_vip alive {{ {mark(NUMBER):#x} }}")
    with pytest.raises(Lapsed):
        first.word(lambda gate: gate.refresh(GATEWAY, until=time.monotonic() + LONG))


def try_to_refresh(*, link: str, own_mark: bool) -> None:
    """Sends what a refresh sends, without waiting for the fuse."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        if own_mark:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark(NUMBER))
        for span in (0, 60_000):
            for family in Family:
                sent = bytearray(frame(family, fuse=99, span=span))
                if link != "lo":
                    sent[:6] = b"\xff" * 6
                sender.sendto(sent, (link, 0))


@pytest.mark.parametrize(
    ("place", "link", "own_mark", "longer"),
    [
        ("node", "lo", True, True),  # as a refresh does it: the test's frames are the right ones
        ("node", "lo", False, False),
        ("pod", "lo", True, False),
        ("pod", "eth0", True, False),
        ("outside", "eth0", True, False),
    ],
)
def test_no_frame_refreshes_but_one_with_the_mark_from_the_nodes_own_loopback_link(
    world: tuple[Node, Outside], place: str, link: str, own_mark: bool, longer: bool
) -> None:
    first, outside = world
    first.claim(5.0)
    places: dict[str, Namespace] = {
        "node": first.namespace,
        "pod": first.pod,
        "outside": outside.namespace,
    }
    places[place].inside(lambda: try_to_refresh(link=link, own_mark=own_mark))
    assert (lease(first) > 5000) is longer


def test_nobody_but_root_can_send_such_a_frame(world: tuple[Node, Outside]) -> None:
    first, _ = world
    tries = (
        "import os, socket\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "for family, protocol in ((socket.AF_PACKET, 0), (socket.AF_INET, 253)):\n"
        "    try:\n"
        "        socket.socket(family, socket.SOCK_RAW, protocol)\n"
        "    except PermissionError:\n"
        "        print('refused')\n"
        "with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:\n"
        "    try:\n"
        "        one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 1)\n"
        "    except PermissionError:\n"
        "        print('refused')\n"
    )
    said = subprocess.run(
        ["nsenter", f"--net={first.namespace.path}", "--", sys.executable, "-c", tries],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["refused"] * 3
