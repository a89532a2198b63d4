"""Whole vip processes on a real LAN: namespaces as nodes on a bridge, and an outside host.

There is no API server: they settle among themselves.
"""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from kernel.vip.processes import Vip, eventually
from kernel.vip.vip_lan import MACS, OUT, UNDERLAY, VIP4, VIP6, Clock, Lan, Start

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_the_other_member_takes_what_a_dead_one_had_and_the_outside_learns_it(
    lan: Lan, pair: dict[str, Vip], signum: int
) -> None:
    (first,) = lan.holders(VIP4)
    (second,) = pair.keys() - {first}
    pair[first].process.send_signal(signum)
    for address in (VIP4, VIP6):
        # By the announcement: the outside's entry is good for half a minute.
        eventually(
            lambda address=address: lan.neighbour(address) == MACS[second],  # type: ignore[misc]
            within=10.0,
        )
        assert lan.answers(address) == MACS[second]
    if signum == signal.SIGSTOP:
        pair[first].process.send_signal(signal.SIGCONT)
        eventually(lambda: len(lan.holders(VIP4)) == len(lan.holders(VIP6)) == 1)
        assert lan.answers(VIP4) and lan.answers(VIP6)


@pytest.mark.parametrize("hours", [1, -1])
def test_a_stepped_clock_moves_nothing(lan: Lan, start: Start, tmp_path: Path, hours: int) -> None:
    clocks = {host: Clock(tmp_path / f"clock-{host}") for host in ("a", "b")}
    vips = {host: start(host, clock=clock) for host, clock in clocks.items()}
    for vip in vips.values():
        vip.told(VIP4, members=("a", "b"))
    eventually(lambda: lan.answers(VIP4))
    eventually(lambda: all(vip.numbers().heard > 10 for vip in vips.values()))
    (holder,) = lan.holders(VIP4)
    before = vips[holder].now().claims
    for times in (1, 0, 2):
        clocks[holder].step(times * hours * 3600)
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline:
            assert lan.answers(VIP4) == MACS[holder]
        assert lan.holders(VIP4) == [holder]
        assert vips[holder].now().claims == before


def test_a_process_that_starts_with_a_clock_set_back_is_heard_by_the_others(
    lan: Lan, start: Start, tmp_path: Path
) -> None:
    clock = Clock(tmp_path / "clock")
    first, second = start("a", clock=clock), start("b")
    for vip in (first, second):
        vip.told(VIP4, members=("a", "b"))
    eventually(lambda: second.numbers().heard > 10)
    first.end(signal.SIGKILL)
    before = second.numbers().heard
    clock.step(-3600)
    start("a", clock=clock)
    # What it tells is 2 s old, which may be 20 heartbeats.
    eventually(lambda: second.numbers().heard > before + 40)


def test_each_of_its_threads_runs_in_real_time(pair: dict[str, Vip]) -> None:
    for vip in pair.values():
        threads = [int(one.name) for one in Path(f"/proc/{vip.process.pid}/task").iterdir()]
        assert len(threads) > 1
        assert {os.sched_getscheduler(one) for one in threads} == {os.SCHED_RR}
        eventually(lambda vip=vip: vip.numbers().realtime)  # type: ignore[misc]


def test_the_next_process_knows_by_the_last_word_what_to_do(lan: Lan, start: Start) -> None:
    first = start("a")
    first.told(VIP4)
    eventually(lambda: lan.at("a", VIP4))
    first.end(signal.SIGKILL)
    assert VIP4 in lan.addresses("a")
    eventually(lambda: not lan.answers(VIP4))  # its time is up, and somebody else might have it
    lan.ip("out", f"neigh replace {VIP4} lladdr 02:bb:00:00:00:bb nud reachable dev eth0")
    second = start("a")
    eventually(lambda: lan.at("a", VIP4))
    second.told()
    eventually(lambda: VIP4 not in lan.addresses("a"))


def test_a_planned_restart_is_no_outage(lan: Lan, start: Start) -> None:
    first = start("a")
    first.told(VIP4)
    eventually(lambda: lan.at("a", VIP4))
    first.end()
    assert first.process.returncode == 0
    assert lan.answers(VIP4) == MACS["a"]
    start("a")
    deadline = time.monotonic() + 3.0
    while time.monotonic() < deadline:
        assert lan.answers(VIP4) == MACS["a"]


def told(vip: Vip, *kinds: str) -> set[tuple[str, str]]:
    """The next troubles of these kinds, once they are others than before, with their details."""
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        report = vip.report()
        vip.troubles, before = report.troubles, vip.troubles
        now, last = (
            {(one.what, one.detail) for one in some if one.what in kinds}
            for some in (report.troubles, before)
        )
        if now != last:
            return now
    raise AssertionError("not told")


def test_somebody_else_who_answers_is_told_before_an_address_is_taken_and_while_it_is_held(
    lan: Lan, start: Start
) -> None:
    contested = ("Conflict", "Occupied")
    lan.ip("out", f"addr add {VIP4}/32 dev eth0")
    vip = start("a")
    vip.told(VIP4)
    assert told(vip, *contested) == {("Occupied", OUT)}
    assert lan.holders(VIP4) == []
    lan.ip("out", f"addr del {VIP4}/32 dev eth0")
    assert told(vip, *contested) == set()
    eventually(lambda: lan.at("a", VIP4))
    lan.ip("out", f"addr add {VIP4}/32 dev eth0")
    lan.ip("out", "neigh flush dev eth0")
    command = lan.exec("out", "ping", "-c1", "-W1", "-I", VIP4, UNDERLAY["a"])  # asks as VIP4
    subprocess.run(command, capture_output=True, timeout=10, check=False)
    assert told(vip, *contested) == {("Conflict", OUT)}


def test_a_way_back_that_leads_elsewhere_is_told(lan: Lan, start: Start) -> None:
    lan.ip("a", "route add default via 203.0.113.5")
    lan.ip("out", f"neigh replace {VIP4} lladdr 02:bb:00:00:00:bb nud permanent dev eth0")
    vip = start("a")
    vip.told(VIP4)
    assert told(vip, "ReturnPathFailed", "ReturnPathUnknown") == {("ReturnPathFailed", "")}
    eventually(lambda: [(one.lost, one.held) for one in vip.numbers().gateways] == [(1, 1)])


def test_both_forms_and_the_advertisement_are_on_the_wire_in_a_train(
    lan: Lan, start: Start
) -> None:
    command = lan.exec("out", "tcpdump", "-lnnei", "eth0", "arp or icmp6")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as tcpdump:
        heard: list[str] = []
        assert tcpdump.stdout is not None
        lines = iter(tcpdump.stdout)
        reader = threading.Thread(target=lambda: heard.extend(lines), daemon=True)
        reader.start()
        start("a").told(VIP4, VIP6)

        def times(*words: str) -> int:
            return sum(all(word in line for word in words) for line in list(heard))

        forms = (
            ("> ff:ff:ff:ff:ff:ff", f"Request who-has {VIP4} ", f"tell {VIP4}"),
            ("> ff:ff:ff:ff:ff:ff", f"Reply {VIP4} is-at 02:aa:00:00:00:01"),
            ("> 33:33:00:00:00:01", f"{VIP6} > ff02::1", "neighbor advertisement"),
        )
        eventually(lambda: all(times(*form) >= 5 for form in forms))
        tcpdump.terminate()
        reader.join(5.0)


def test_the_address_is_ours_by_its_mark_and_never_a_source_of_the_node(
    lan: Lan, start: Start
) -> None:
    start("a").told(VIP4, VIP6)
    eventually(lambda: {VIP4, VIP6} <= lan.addresses("a").keys())
    held = lan.addresses("a")
    assert (held[VIP4]["prefixlen"], held[VIP6]["prefixlen"]) == (32, 128)
    assert held[VIP6]["deprecated"] and held[VIP6]["preferred_life_time"] == 0
    assert "tentative" not in held[VIP6]
    assert json.loads(lan.ip("a", "-j route get 203.0.113.3"))[0]["prefsrc"] == "203.0.113.1"
    route6 = json.loads(lan.ip("a", "-6 -j route get 2001:db8::3"))[0]
    assert route6["prefsrc"] == "2001:db8::1"


def test_foreign_addresses_are_never_removed_nor_announced(lan: Lan, start: Start) -> None:
    lan.ip("a", f"addr add {VIP4}/24 dev eth0")
    before = lan.addresses("a")
    vip = start("a")
    vip.told(VIP4, "203.0.113.8")
    eventually(lambda: "203.0.113.8" in lan.addresses("a"))
    eventually(lambda: any("not put there by us" in one.error for one in vip.report().held))
    vip.told()
    eventually(lambda: "203.0.113.8" not in lan.addresses("a"))
    assert lan.addresses("a").keys() == before.keys()
