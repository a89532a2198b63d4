"""A LAN for tests of the segment edge: two nodes, a router and a stranger on one bridge."""

import contextlib
import select
import subprocess
import time
from collections.abc import Callable, Iterable
from ipaddress import ip_address

from kernel.harness import PATIENCE, Namespace

from outgate.api.view import IPAddress
from outgate.vip.segment import LanLink, SegmentEdge, SegmentSettings
from outgate.vip.segment.edge import Heard

VIP4, VIP6 = ip_address("203.0.113.7"), ip_address("2001:db8::7")
HOSTS = ("router", "first", "second", "stranger")
QUICK = SegmentSettings(return_wait=0.15)
"""Settings: nothing on this LAN takes longer."""


def mac(host: str) -> str:
    return f"02:aa:00:00:00:{HOSTS.index(host) + 1:02x}"


def own(host: str, version: int) -> IPAddress:
    number = HOSTS.index(host) + 1
    return ip_address(f"203.0.113.{number}" if version == 4 else f"2001:db8::{number}")


class SegmentLan:
    """Its hosts, by name, until the stack ends."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.hosts: dict[str, Namespace] = {}
        self._lan = self._made("lan", stack)
        self._lan.ip("link add br0 up type bridge mcast_snooping 0")
        for host in HOSTS:
            made = self.hosts[host] = self._made(host, stack)
            # Solicitations are sent from a link-local address, which would be tentative for 1 s.
            made.sysctl({f"ipv6/conf/{one}/accept_dad": 0 for one in ("all", "default")})
            self._plug(host)
            made.ip(
                f"link set eth0 address {mac(host)} up",
                f"addr add {own(host, 4)}/24 dev eth0",
                f"addr add {own(host, 6)}/64 dev eth0 nodad",
            )

    def _plug(self, host: str) -> None:
        peer = f"eth0 netns {self.hosts[host].name}"
        self._lan.ip(
            f"link add {host} up type veth peer name {peer}", f"link set {host} master br0"
        )

    def swap(self, host: str) -> None:
        """The host's link goes, and another of its name comes, which is down."""
        self._lan.ip(f"link del {host}")
        self._plug(host)

    def _made(self, role: str, stack: contextlib.ExitStack) -> Namespace:
        made = Namespace(role)
        stack.callback(made.delete)
        return made

    def take(self, host: str, *addresses: IPAddress) -> None:
        self.hosts[host].ip(
            *(
                f"addr add {a}/{a.max_prefixlen} dev eth0{' nodad' if a.version == 6 else ''}"
                for a in addresses
            )
        )

    def neighbour(self, host: str, address: IPAddress, lladdr: str) -> None:
        self.hosts[host].ip(f"neigh replace {address} lladdr {lladdr} nud reachable dev eth0")


def started(stack: contextlib.ExitStack, host: str, *, router: bool = True) -> SegmentEdge:
    """An edge of the host in whose namespace this thread is."""
    edge = SegmentEdge(settings=QUICK)
    stack.callback(edge.close)
    know(edge, host, router=router)
    return edge


def know(edge: SegmentEdge, host: str, *, router: bool = True) -> None:
    """What the loop tells the edge when links change."""
    link = LanLink(
        "eth0",
        mac(host),
        router4=own("router", 4) if router else None,
        router6=own("router", 6) if router else None,
        own4=own(host, 4),
        own6=own(host, 6),
    )
    refused = edge.know([link], macs=[mac(host)], place=lambda address: "eth0")
    assert refused == {}


def drive(
    edge: SegmentEdge, enough: Callable[[list[Heard]], object], *, within: float = PATIENCE
) -> list[Heard]:
    """What the edge says, turn by turn as its loop would have it, until that is enough."""
    said: list[Heard] = []
    deadline = time.monotonic() + within
    with select.epoll() as poll:
        poll.register(edge.fileno(), select.EPOLLIN)
        while True:
            now = time.monotonic()
            said += edge.turn(now=now)
            if enough(said):
                return said
            assert now < deadline, f"not in time: {said}"
            due = edge.next_due()
            wait = deadline - now if due is None else min(max(due - now, 0.0), deadline - now)
            poll.poll(wait)


def count(number: int) -> Callable[[list[Heard]], bool]:
    return lambda said: len(said) >= number


def nft(namespace: Namespace, lines: Iterable[str]) -> None:
    subprocess.run(
        ["nsenter", f"--net={namespace.path}", "--", "nft", "-f", "-"],
        input="\n".join(lines),
        text=True,
        check=True,
    )
