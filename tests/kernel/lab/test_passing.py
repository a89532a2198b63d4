"""Faults on a real segment: each breaks what its name says and nothing else, and is taken back."""

import socket
import subprocess
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest
from kernel.lab.wires import heard, segment, sleeper
from scapy.layers.l2 import ARP, Ether

from outgate.lab import (
    Families,
    Lab,
    LabError,
    LabTimeout,
    cgroups,
    faults,
    netns,
    passing,
    processes,
)
from outgate.lab.passing import Fault, Kind, happening

pytestmark = pytest.mark.kernel

HOSTS = ("cp", "gw1", "gw2", "w1", "router")
EVERYTHING = frozenset(permutations(HOSTS, 2))
OTHER = {"203.0.113.10": "203.0.113.20", "2001:db8:cafe::10": "2001:db8:cafe::20"}
FROM_GW1 = frozenset(("gw1", other) for other in HOSTS if other != "gw1")
TO_GW1 = frozenset((other, "gw1") for other in HOSTS if other != "gw1")

SILENT = {
    Kind.CUT_OFF: FROM_GW1 | TO_GW1,
    Kind.CUT_FROM_PEERS: {("gw1", "gw2"), ("gw2", "gw1")},
    Kind.CUT_FROM_API: {("gw1", "cp"), ("cp", "gw1")},
    Kind.UNPLUGGED: FROM_GW1 | TO_GW1,
    Kind.DEAF: TO_GW1,
    Kind.MUTE: FROM_GW1,
}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with segment("ps") as made:
        yield made


@pytest.mark.parametrize("kind", SILENT)
def test_frames_get_lost_between_those_that_the_fault_is_about_only(lab: Lab, kind: Kind) -> None:
    with happening(lab, Fault(kind, "gw1")):
        assert heard(lab) == EVERYTHING - SILENT[kind]
    assert heard(lab) == EVERYTHING


@pytest.mark.parametrize("kind", SILENT)
def test_a_fault_is_taken_back_when_its_block_fails(lab: Lab, kind: Kind) -> None:
    with pytest.raises(KeyboardInterrupt), happening(lab, Fault(kind, "gw1")):
        raise KeyboardInterrupt
    assert heard(lab) == EVERYTHING


def test_what_was_cut_before_stays_cut(lab: Lab) -> None:
    lab.partition("gw1", "cp")
    try:
        with happening(lab, Fault(Kind.CUT_OFF, "gw1")):
            pass
        assert set(lab.partitions()) == {("gw1", "cp"), ("cp", "gw1")}
    finally:
        lab.heal()


def test_a_heal_within_a_fault_does_not_upset_its_end(lab: Lab) -> None:
    with happening(lab, Fault(Kind.DEAF, "gw1")):
        lab.heal()
    assert lab.partitions() == ()


def test_a_pulled_cable_shows_on_the_host_itself_and_a_cut_does_not(lab: Lab) -> None:
    def carrier() -> str:
        return lab.exec("router", "ip", "-o", "link", "show", "eth0")

    with happening(lab, Fault(Kind.UNPLUGGED, "router")):
        assert "NO-CARRIER" in carrier()
    with happening(lab, Fault(Kind.CUT_OFF, "router")):
        assert "NO-CARRIER" not in carrier()


def test_a_stopped_program_stands_still_and_its_neighbours_do_not(lab: Lab) -> None:
    there, elsewhere = sleeper(lab, "gw1"), sleeper(lab, "gw2")
    try:
        with happening(lab, Fault(Kind.STOPPED, "gw1", "sleep")):
            lab.wait("the process to stop", lambda: state(there) == "T", timeout=5)
            assert state(elsewhere) != "T"
        lab.wait("the process to go on", lambda: state(there) != "T", timeout=5)
    finally:
        cgroups.kill(lab.paths, "gw1")
        cgroups.kill(lab.paths, "gw2")


def test_a_killed_program_is_waited_for_until_somebody_has_started_it_again(lab: Lab) -> None:
    before = sleeper(lab, "gw1")
    try:
        with happening(lab, Fault(Kind.KILLED, "gw1", "sleep")):
            lab.wait("the process to die", lambda: not processes.is_alive(before), timeout=5)
            after = sleeper(lab, "gw1")
        assert passing.named(lab.paths, "gw1", "sleep") == (after,)
    finally:
        cgroups.kill(lab.paths, "gw1")


def test_a_frozen_host_stands_still_as_a_whole(lab: Lab) -> None:
    sleeper(lab, "cp")
    try:
        with happening(lab, Fault(Kind.FROZEN, "cp")):
            assert cgroups.is_frozen(lab.paths, "cp")
        assert not cgroups.is_frozen(lab.paths, "cp")
    finally:
        cgroups.kill(lab.paths, "cp")


def test_an_untaught_host_keeps_to_what_it_knows_and_still_asks(lab: Lab) -> None:
    moved = "172.30.0.100"
    address, mac = lab.topology.host("gw1").address, lab.topology.host("gw1").mac
    claim = Ether(dst="ff:ff:ff:ff:ff:ff", src=mac) / ARP(op=1, hwsrc=mac, psrc=moved, pdst=moved)

    def learns() -> bool:
        with netns.open_socket(lab.paths.netns("gw1"), socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind(("eth0", 0))
            wire.send(bytes(claim))
        return mac in lab.exec("router", "ip", "neigh", "show", "to", moved)

    entry = (moved, "lladdr", "02:30:00:00:00:fe", "dev", "eth0", "nud", "stale")
    lab.exec("router", "ip", "neigh", "replace", *entry)
    with happening(lab, Fault(Kind.UNTAUGHT, "router")):
        lab.exec("router", "ping", "-c1", "-W1", str(address))
        # Linux learns nothing within a second of the last change in any case (`locktime`).
        with pytest.raises(LabTimeout):
            lab.wait("the router to learn", learns, timeout=1.5)
    lab.wait("the router to learn", learns, timeout=5)


@pytest.mark.parametrize("target", ["203.0.113.10", "2001:db8:cafe::10"])
def test_an_unrouted_host_reaches_everybody_but_the_one_that_it_does_not(target: str) -> None:
    with segment("un", families=Families.DUAL) as lab:
        reaching = {(host, to) for host in ("gw1", "gw2") for to in (target, OTHER[target])}

        def reached() -> set[tuple[str, str]]:
            return {pair for pair in reaching if pings(lab, *pair)}

        with happening(lab, Fault(Kind.UNROUTED, "gw1", target=target)):
            assert reached() == reaching - {("gw1", target)}
        assert reached() == reaching


def pings(lab: Lab, host: str, target: str) -> bool:
    """Whether an address answers to a host."""
    command = netns.enter_argv(lab.paths.netns(host), ["ping", "-c1", "-W1", target])
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.parametrize(
    ("host", "target"), [("gw1", ""), ("gw1", "2001:db8:cafe::10"), ("router", "203.0.113.10")]
)
def test_a_way_that_there_is_not_cannot_be_lost(lab: Lab, host: str, target: str) -> None:
    with pytest.raises(LabError), happening(lab, Fault(Kind.UNROUTED, host, target=target)):
        pass


@pytest.mark.parametrize("kind", [Kind.STOPPED, Kind.KILLED])
def test_a_fault_of_a_program_that_does_not_run_is_refused(lab: Lab, kind: Kind) -> None:
    with (
        pytest.raises(LabError, match="no process 'outgate-vip' runs on gw1"),
        happening(lab, Fault(kind, "gw1", "outgate-vip")),
    ):
        pass


def test_a_host_beyond_the_segment_cannot_be_cut_from_it(lab: Lab) -> None:
    with pytest.raises(LabError, match="segment"), happening(lab, Fault(Kind.DEAF, "outside")):
        pass


def test_pairs_that_are_cut_already_are_not_ours_to_mend(lab: Lab) -> None:
    first = faults.cut(lab.paths, {("gw1", "gw2")})
    second = faults.cut(lab.paths, {("gw1", "gw2"), ("gw2", "gw1")})
    assert [set(first), set(second)] == [{("gw1", "gw2")}, {("gw2", "gw1")}]
    faults.mend(lab.paths, first | second)
    assert lab.partitions() == ()


def state(pid: int) -> str:
    """The state letter of a process, as proc(5) has it."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
