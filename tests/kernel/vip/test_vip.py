"""The vip process on a real LAN: namespaces as nodes on a bridge, and an outside host."""

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from outgate.vip.protocol import Hold, encode

pytestmark = pytest.mark.kernel

VIP4, VIP6 = "203.0.113.7", "2001:db8::7"
_numbers = itertools.count()


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def eventually(true: Callable[[], object], *, within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "not in time"
        threading.Event().wait(0.02)


class Lan:
    """Three hosts on one bridge: `a` and `b` are nodes, `out` is somebody else."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        tag = f"ogv{os.getpid() % 100000}x{next(_numbers)}"
        self.names = {host: f"{tag}{host}" for host in ("lan", "a", "b", "out")}
        for name in self.names.values():
            run("ip", "netns", "add", name)
            stack.callback(run, "ip", "netns", "del", name)
        self.ip("lan", "link add br0 up type bridge mcast_snooping 0")
        for number, host in enumerate(("a", "b", "out"), start=1):
            peer = f"netns {self.names[host]}"
            self.ip("lan", f"link add p{host} up type veth peer name eth0 {peer}")
            self.ip("lan", f"link set p{host} master br0")
            self.ip(host, "link set lo up")
            self.ip(host, f"link set eth0 address 02:aa:00:00:00:0{number} up")
            self.ip(host, f"addr add 203.0.113.{number}/24 dev eth0")
            self.ip(host, f"addr add 2001:db8::{number}/64 dev eth0 nodad")

    def ip(self, host: str, command: str) -> str:
        return run("ip", "-n", self.names[host], *command.split())

    def exec(self, host: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.names[host], *command]

    def addresses(self, host: str) -> dict[str, Any]:
        (link,) = json.loads(self.ip(host, "-j addr show dev eth0"))
        return {entry["local"]: entry for entry in link["addr_info"]}

    def neighbour(self, address: str) -> str:
        found = json.loads(self.ip("out", f"-j neigh show to {address} dev eth0"))
        return str(found[0].get("lladdr", "")) if found else ""

    def ping(self, address: str) -> bool:
        command = self.exec("out", "ping", "-c1", "-W1", address)
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0


class Vip:
    """A vip process on a node, and the agent's end of its socket."""

    def __init__(self, lan: Lan, host: str, path: Path) -> None:
        self.path = path
        self._seq = 0
        command = lan.exec(host, sys.executable, "-m", "outgate.vip", "--socket", str(path))
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE)
        self.agent: socket.socket | None = None

    def hold(self, *addresses: str) -> None:
        if self.agent is None:
            eventually(self._connects)
        assert self.agent is not None
        self._seq += 1
        self.agent.sendall(encode(Hold(self._seq, addresses, "eth0")))

    def _connects(self) -> bool:
        agent = socket.socket(socket.AF_UNIX)
        try:
            agent.connect(str(self.path))
        except OSError:
            agent.close()
            return False
        self.agent = agent
        return True

    def close(self, signum: int = signal.SIGTERM) -> None:
        if self.agent is not None:
            self.agent.close()
        if self.process.poll() is None:
            self.process.send_signal(signum)
        self.process.communicate(timeout=15)


@pytest.fixture
def lan() -> Iterator[Lan]:
    with contextlib.ExitStack() as stack:
        yield Lan(stack)


@pytest.fixture
def start(lan: Lan, tmp_path: Path) -> Iterator[Callable[[str], Vip]]:
    with contextlib.ExitStack() as stack:

        def started(host: str) -> Vip:
            vip = Vip(lan, host, tmp_path / f"{host}{next(_numbers)}.sock")
            stack.callback(vip.close)
            return vip

        yield started


def test_the_outside_learns_a_new_holder_long_before_its_entry_would_age(
    lan: Lan, start: Callable[[str], Vip]
) -> None:
    a, b = start("a"), start("b")
    a.hold(VIP4, VIP6)
    for vip in (VIP4, VIP6):
        eventually(lambda vip=vip: lan.ping(vip))  # type: ignore[misc]
        assert lan.neighbour(vip) == "02:aa:00:00:00:01"
    a.hold()
    eventually(lambda: VIP4 not in lan.addresses("a") and VIP6 not in lan.addresses("a"))
    b.hold(VIP4, VIP6)
    for vip in (VIP4, VIP6):
        eventually(
            lambda vip=vip: lan.neighbour(vip) == "02:aa:00:00:00:02",  # type: ignore[misc]
            within=5.0,
        )
        assert lan.ping(vip)


def test_both_forms_and_the_advertisement_are_on_the_wire_in_a_train(
    lan: Lan, start: Callable[[str], Vip]
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
        start("a").hold(VIP4, VIP6)

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
    lan: Lan, start: Callable[[str], Vip]
) -> None:
    start("a").hold(VIP4, VIP6)
    eventually(lambda: {VIP4, VIP6} <= lan.addresses("a").keys())
    held = lan.addresses("a")
    assert (held[VIP4]["prefixlen"], held[VIP6]["prefixlen"]) == (32, 128)
    assert held[VIP6]["deprecated"] and held[VIP6]["preferred_life_time"] == 0
    assert "tentative" not in held[VIP6]
    assert json.loads(lan.ip("a", "-j route get 203.0.113.3"))[0]["prefsrc"] == "203.0.113.1"
    route6 = json.loads(lan.ip("a", "-6 -j route get 2001:db8::3"))[0]
    assert route6["prefsrc"] == "2001:db8::1"


def test_foreign_addresses_are_never_removed_nor_announced(
    lan: Lan, start: Callable[[str], Vip]
) -> None:
    lan.ip("a", f"addr add {VIP4}/24 dev eth0")
    before = lan.addresses("a")
    vip = start("a")
    vip.hold(VIP4, "203.0.113.8")
    eventually(lambda: "203.0.113.8" in lan.addresses("a"))
    vip.hold()
    eventually(lambda: "203.0.113.8" not in lan.addresses("a"))
    assert lan.addresses("a").keys() == before.keys()


def test_a_killed_vip_leaves_its_addresses_and_the_next_one_adopts_them(
    lan: Lan, start: Callable[[str], Vip]
) -> None:
    first = start("a")
    first.hold(VIP4)
    eventually(lambda: VIP4 in lan.addresses("a"))
    pid = int(run("ip", "netns", "pids", lan.names["a"]).split()[0])
    os.kill(pid, signal.SIGKILL)
    first.close()
    assert lan.ping(VIP4)
    lan.ip("out", "neigh replace 203.0.113.7 lladdr 02:bb:00:00:00:bb nud reachable dev eth0")
    second = start("a")
    # Adopted and announced with no agent near.
    eventually(lambda: lan.neighbour(VIP4) == "02:aa:00:00:00:01")
    second.hold()
    eventually(lambda: VIP4 not in lan.addresses("a"))


def test_stopping_is_not_letting_go(lan: Lan, start: Callable[[str], Vip]) -> None:
    vip = start("a")
    vip.hold(VIP4)
    eventually(lambda: VIP4 in lan.addresses("a"))
    vip.close()
    assert vip.process.returncode == 0
    assert str(ip_address(VIP4)) in lan.addresses("a")
