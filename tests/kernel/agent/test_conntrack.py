"""Reading and deleting conntrack entries of a real kernel, in a namespace of its own."""

import itertools
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import TypeVar

import pytest
from pyroute2 import netns

from outgate.agent.conntrack import _CT_GET, _DUMP, _REQUEST, FEW, MANY, Conntrack, _from
from outgate.agent.flows import Flow
from outgate.agent.ports import Binding

pytestmark = pytest.mark.kernel

T = TypeVar("T")
_numbers = itertools.count()
POD, OTHER, OUT = "10.244.1.5", "10.244.1.6", "198.51.100.9"
EIP = "203.0.113.7"


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


@pytest.fixture
def space() -> Iterator[str]:
    name = f"ogc{os.getpid() % 100000}x{next(_numbers)}"
    run("ip", "netns", "add", name)
    try:
        yield name
    finally:
        run("ip", "netns", "del", name)


def within(space: str, work: Callable[[Conntrack], T]) -> T:
    """Does the work in a thread of its own that has entered the namespace."""
    results: list[T] = []

    def enter() -> None:
        netns.setns(space)
        with Conntrack() as conntrack:
            results.append(work(conntrack))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join(30.0)
    assert results, "failed in its thread"
    return results[0]


def entry(space: str, source: str, port: int, *, mark: int, snat: str = "") -> None:
    command = f"ip netns exec {space} conntrack -I -p udp -t 100 -s {source} -d {OUT} "
    command += f"--sport {port} --dport 53 -m {mark}"
    if snat:
        command += f" --src-nat {snat}"
    run(*command.split())


def test_entries_say_who_goes_where_bound_to_what(space: str) -> None:
    entry(space, POD, 1001, mark=7 << 16)
    entry(space, OTHER, 1002, mark=8 << 16, snat=EIP)
    flows = within(space, lambda conntrack: list(conntrack.flows(None)))
    found = {(flow.source, flow.destination, flow.bound, flow.mark) for flow in flows}
    pod, other, out, eip = (ip_address(text) for text in (POD, OTHER, OUT, EIP))
    assert found == {(pod, out, pod, 7 << 16), (other, out, eip, 8 << 16)}


def test_bindings_say_which_port_is_used_towards_what(space: str) -> None:
    entry(space, POD, 1001, mark=7 << 16)
    entry(space, OTHER, 1002, mark=8 << 16, snat=EIP)

    bindings = within(space, lambda conntrack: list(conntrack.bindings()))

    eip, out = ip_address(EIP), ip_address(OUT)
    assert bindings == [Binding(eip, 1002, socket.IPPROTO_UDP, out, 53)]


@pytest.mark.parametrize("many", [0, MANY])
def test_only_the_flows_of_the_pods_asked_for_are_read_and_deleted(
    space: str, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outgate.agent.conntrack.MANY", many)
    for port in range(1000, 1010):
        entry(space, POD if port % 2 else OTHER, port, mark=0)

    def work(conntrack: Conntrack) -> tuple[int, int, list[Flow]]:
        mine = list(conntrack.flows([ip_address(POD)]))
        first = conntrack.delete(mine)
        return first, conntrack.delete(mine), list(conntrack.flows(None))

    deleted, again, rest = within(space, work)
    assert (deleted, again) == (5, 0)
    assert {flow.source for flow in rest} == {ip_address(OTHER)}
    assert len(rest) == 5


@pytest.mark.parametrize("many", [0, MANY])
def test_the_flows_of_many_pods_are_read_in_one_go(
    space: str, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outgate.agent.conntrack.MANY", many)
    for number in range(1, 4):
        entry(space, f"10.244.1.{number}", 1000 + number, mark=0)
    pods = [ip_address(f"10.244.1.{number}") for number in range(2, FEW + 4)]
    flows = within(space, lambda conntrack: list(conntrack.flows(pods)))
    assert sorted(str(flow.source) for flow in flows) == ["10.244.1.2", "10.244.1.3"]


def test_the_kernel_itself_leaves_out_what_is_not_asked_for(space: str) -> None:
    for port in range(1000, 1010):
        entry(space, POD if port % 2 else OTHER, port, mark=0)

    def work(conntrack: Conntrack) -> list[tuple[int, memoryview]]:
        conntrack._send(_CT_GET, _REQUEST | _DUMP, _from(ip_address(POD).packed))
        return list(conntrack._answers())

    assert len(within(space, work)) == 5


def test_deleting_by_mark_spares_other_marks(space: str) -> None:
    entry(space, POD, 1001, mark=7 << 16)
    entry(space, POD, 1002, mark=7 << 16 | 3)
    entry(space, POD, 1003, mark=8 << 16)
    entry(space, POD, 1004, mark=0)
    marks = lambda conntrack: sorted(flow.mark for flow in conntrack.flows(None))  # noqa: E731
    within(space, lambda conntrack: conntrack.delete_marked(7 << 16, 0xFFFFFFFF))
    assert within(space, marks) == [0, 7 << 16 | 3, 8 << 16]
    within(space, lambda conntrack: conntrack.delete_marked(7 << 16, 0xFFFF0000))
    assert within(space, marks) == [0, 8 << 16]


@pytest.mark.parametrize("many", [0, MANY])
def test_ipv6_entries_are_read_and_deleted(
    space: str, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outgate.agent.conntrack.MANY", many)
    run("ip", "-n", space, "link", "set", "lo", "up")
    for address in ("2001:db8::5", "2001:db8::6"):
        run("ip", "-n", space, "addr", "add", f"{address}/128", "dev", "lo", "nodad")
    # Tracking starts with the first rule that asks for it.
    rule = "add table inet t; add chain inet t c { type filter hook output priority 0; }; "
    run("ip", "netns", "exec", space, "nft", rule + "add rule inet t c ct state new accept")

    def work(conntrack: Conntrack) -> tuple[list[Flow], int]:
        for address in ("2001:db8::5", "2001:db8::6"):
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
                sender.bind((address, 0))
                sender.sendto(b"x", (address, 9))
        flows = list(conntrack.flows([ip_address("2001:db8::5")]))
        return flows, conntrack.delete(flows)

    flows, deleted = within(space, work)
    assert flows and deleted == len(flows)
    assert {flow.source for flow in flows} == {ip_address("2001:db8::5")}
    assert flows[0].destination == flows[0].bound == ip_address("2001:db8::5")
