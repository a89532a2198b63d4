"""Reads what others have on this node, as far as it may clash with ours. Writes nothing.

Looked at when the agent starts and after a pass that failed, not in between. What changes while
it is read may be missed.
"""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from itertools import takewhile
from pathlib import Path
from typing import Literal

from outgate.agent import legacy_tables, nft_marks, other_routing
from outgate.agent.clashes import tables
from outgate.agent.errors import NodeUnreadable
from outgate.agent.node_state import MarkUse, NodeState, UdpSocket
from outgate.api.view import DataPathSettings, IPAddress
from outgate.daemon.netlink import NETFILTER, ROUTE, Netlink
from outgate.rules.model import TABLE
from outgate.vip.gate.model import TABLE as GATE_TABLE

MOST = 2.0
"""Seconds for the firewall's rules. 20,000 take 0.2; the kernel's time grows with their square."""

_PROC = Path("/proc")
# The thread's, which a test puts in another network namespace than the process's.
_NET = "thread-self/net"


def observe(settings: DataPathSettings) -> NodeState:
    """All of it, of the network namespace of the calling thread. Raises NodeUnreadable."""
    try:
        with Netlink(ROUTE) as netlink:
            devices = other_routing.devices(
                netlink.dump(other_routing.GET_LINKS, other_routing.ALL_LINKS),
                name=settings.device,
            )
            seen_devices = tuple(sorted(devices, key=lambda each: each.name))
            routes = other_routing.routes(
                netlink.dump(other_routing.GET_ROUTES, other_routing.ALL_ROUTES),
                tables=tables(settings),
                protocol=settings.route_protocol,
                link_name=_link_name,
            )
            seen_routes = tuple(sorted(routes, key=lambda each: (each.table, each.text)))
            rules = other_routing.rules(
                netlink.dump(other_routing.GET_RULES, other_routing.ALL_RULES),
                protocol=settings.route_protocol,
            )
            seen_rules = tuple(
                sorted(rules, key=lambda each: (each.version, each.priority, each.text))
            )
        uses, whole = _mark_uses()
        return NodeState(
            devices=seen_devices,
            sockets=tuple(udp_sockets(settings.port)),
            routes=seen_routes,
            rules=seen_rules,
            mark_uses=uses,
            all_rules=whole,
        )
    except OSError as error:
        raise NodeUnreadable(f"what others have on this node can't be read: {error}") from error


def udp_sockets(port: int, *, proc: Path = _PROC) -> Iterator[UdpSocket]:
    """Those bound to the port. proc: of another system, for tests. Raises OSError."""
    for name in ("udp", "udp6"):
        path = proc / _NET / name
        lines = path.read_text(encoding="ascii").splitlines()[1:] if path.exists() else []
        for line in lines:
            _, local, *_ = fields = line.split()
            address, _, number = local.partition(":")
            if int(number, 16) == port:
                yield UdpSocket(_address(address), port, _process(int(fields[9]), proc))


def _mark_uses() -> tuple[tuple[MarkUse, ...], bool]:
    """Those in the rules, and whether all rules were read in time."""
    found: list[MarkUse] = []
    deadline = time.monotonic() + MOST
    with Netlink(NETFILTER) as netlink:
        messages = netlink.dump(nft_marks.GET_RULES, nft_marks.ALL_RULES)
        in_time = takewhile(lambda _: time.monotonic() < deadline, messages)
        found.extend(nft_marks.of_nftables(in_time, ours=(TABLE, GATE_TABLE)))
    names: tuple[tuple[str, Literal[4, 6]], ...] = (
        ("ip_tables_names", 4),
        ("ip6_tables_names", 6),
    )
    for name, version in names:
        path = _PROC / _NET / name
        for table in sorted(path.read_text(encoding="ascii").split() if path.exists() else ()):
            found.extend(legacy_tables.mark_uses(table, version=version))
    # One that a rule was repeated in, as in a chain for each pod, is said once.
    return tuple(dict.fromkeys(found)), time.monotonic() < deadline


def _process(inode: int, proc: Path) -> str:
    """Name and number of the process that has the socket; empty if it can't be seen."""
    wanted = f"socket:[{inode}]"
    for folder in sorted(proc.glob("[0-9]*")):
        # It may end while it is looked at, or not be ours to look at.
        with suppress(OSError):
            for descriptor in (folder / "fd").iterdir():
                if descriptor.readlink() == Path(wanted):
                    command = (folder / "comm").read_text(encoding="utf-8", errors="replace")
                    return f"{command.strip()} (process {folder.name})"
    return ""


def _address(text: str) -> IPAddress:
    """Of words of 32 bits in the host's own order, as /proc/net has it."""
    packed = bytes.fromhex(text)
    if sys.byteorder == "little":
        packed = b"".join(packed[at : at + 4][::-1] for at in range(0, len(packed), 4))
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def _link_name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return str(index)  # gone meanwhile
