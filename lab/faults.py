"""Things that go wrong, on purpose: cut cables, silent neighbours, frozen machines."""

import json
import signal
import subprocess
from collections.abc import Iterable

from outgate.lab import cgroups, fabric, netns, node, processes
from outgate.lab.errors import LabError
from outgate.lab.paths import Paths
from outgate.lab.topology import (
    CONTROL_PLANE,
    FABRIC,
    ROUTER,
    Address,
    Host,
    Role,
    Topology,
)

Pair = tuple[str, str]
"""Frames from the first host's port to the second's."""

TABLE = "bridge outgate_lab"
_TABLE_TEXT = f"""\
table {TABLE} {{
  set cut {{ typeof iifname . oifname; }}
  chain forward {{
    type filter hook forward priority filter;
    iifname . oifname @cut drop
  }}
}}
"""


UNTAUGHT = "outgate_lab_untaught"
_UNTAUGHT_TEXT = f"""\
table arp {UNTAUGHT} {{
  chain input {{
    type filter hook input priority filter;
    arp daddr ip != {{ OWN }} drop
  }}
}}
table ip6 {UNTAUGHT} {{
  chain input {{
    type filter hook input priority filter;
    ip6 daddr ff02::1 icmpv6 type nd-neighbor-advert drop
  }}
}}
"""


def partition(
    paths: Paths, topology: Topology, first: str, second: str, *, one_way: bool = False
) -> None:
    """Drop every frame between two hosts of the segment; one way: from first to second only."""
    hosts = [_on_segment(topology, name) for name in (first, second)]
    if hosts[0].name == hosts[1].name:
        raise LabError(f"{first} cannot be cut off from itself")
    pairs = {(hosts[0].name, hosts[1].name)}
    if not one_way:
        pairs.add((hosts[1].name, hosts[0].name))
    cut(paths, pairs)


def cut(paths: Paths, pairs: Iterable[Pair]) -> frozenset[Pair]:
    """Drop every frame of these pairs (from, to); those of them that passed until now."""
    wanted = frozenset(pairs) - frozenset(partitions(paths))
    if wanted:
        # adding the table again would add its rule again
        text = "" if _exists(paths) else _TABLE_TEXT
        _nft(paths, "-f", "-", text=f"{text}add element {TABLE} cut {_elements(wanted)}\n")
    return wanted


def mend(paths: Paths, pairs: Iterable[Pair]) -> None:
    """Let frames of these pairs pass again; no complaint about those that do."""
    wanted = frozenset(pairs) & frozenset(partitions(paths))
    if wanted:
        _nft(paths, "-f", "-", text=f"delete element {TABLE} cut {_elements(wanted)}\n")


def ignore_announcements(paths: Paths, host: Host) -> None:
    """A host learns no more from gratuitous ARP and unsolicited neighbour advertisements.

    It answers, asks and is answered as before: what is dropped is ARP about others' addresses.
    """
    own = ", ".join(str(one.ip) for one in host.addresses if one.version == 4) or "0.0.0.0"
    _nft_at(paths, host.name, "-f", "-", text=_UNTAUGHT_TEXT.replace("OWN", own))


def heed_announcements(paths: Paths, host: Host) -> None:
    """The host learns from announcements again."""
    for family in ("arp", "ip6"):
        _nft_at(paths, host.name, "delete", "table", family, UNTAUGHT)


def unroute(paths: Paths, host: Host, target: Address) -> None:
    """The router drops what a host of the segment sends to an address beyond it."""
    own = next((one.ip for one in host.addresses if one.version == target.version), None)
    if own is None or host.role is Role.OUTSIDE or host.name == ROUTER:
        raise LabError(f"the router leads nothing of {host.name} to {target}")
    family = "ip" if target.version == 4 else "ip6"
    table = f"table inet {_unrouted(host, target)}"
    text = f"""\
create {table}
{table} {{
  chain forward {{
    type filter hook forward priority filter;
    {family} saddr {own} {family} daddr {target} drop
  }}
}}
"""
    _nft_at(paths, ROUTER, "-f", "-", text=text)


def route(paths: Paths, host: Host, target: Address) -> None:
    """The router leads the host to that address again."""
    _nft_at(paths, ROUTER, "delete", "table", "inet", _unrouted(host, target))


def _unrouted(host: Host, target: Address) -> str:
    return f"outgate_lab_unrouted_{host.name}_{int(target):x}"


def _elements(pairs: Iterable[Pair]) -> str:
    return "{ " + ", ".join(f'"{first}" . "{second}"' for first, second in sorted(pairs)) + " }"


def cut_api(paths: Paths, topology: Topology, name: str) -> None:
    """Part a node from the control plane; all its other neighbours stay reachable."""
    partition(paths, topology, topology.node(name).name, CONTROL_PLANE)


def heal(paths: Paths) -> None:
    """End all partitions."""
    if _exists(paths):
        _nft(paths, "delete", "table", *TABLE.split())


def partitions(paths: Paths) -> tuple[Pair, ...]:
    """The pairs (from, to) between which frames are dropped."""
    if not _exists(paths):
        return ()
    listing = json.loads(_nft(paths, "-j", "list", "set", *TABLE.split(), "cut"))
    elements = next(item["set"] for item in listing["nftables"] if "set" in item).get("elem", ())
    pairs = (tuple(element["concat"]) for element in elements)
    return tuple(sorted((str(first), str(second)) for first, second in pairs))


def pause(paths: Paths, host: Host, *, process: str = "") -> int:
    """Freeze a host, or only the processes whose command line contains `process`; how many."""
    _must_have_processes(paths, host)
    if not process:
        cgroups.freeze(paths, host.name, frozen=True)
        return len(cgroups.processes(paths, host.name))
    chosen = [
        pid for pid in cgroups.processes(paths, host.name) if process in processes.command_line(pid)
    ]
    if not chosen:
        raise LabError(f"no process on {host.name} has {process!r} in its command line")
    cgroups.send(chosen, signal.SIGSTOP)
    return len(chosen)


def resume(paths: Paths, host: Host) -> None:
    """Let everything on a host run again, however it was paused."""
    _must_have_processes(paths, host)
    cgroups.freeze(paths, host.name, frozen=False)
    cgroups.send(cgroups.processes(paths, host.name), signal.SIGCONT)


def set_link(paths: Paths, topology: Topology, name: str, *, up: bool) -> None:
    """Pull or plug a host's cable."""
    host = _on_segment(topology, name)
    if host.is_node:
        node.must_run(paths, host)
    fabric.set_link(paths, host, up=up)


def _must_have_processes(paths: Paths, host: Host) -> None:
    if host.is_node:
        node.must_run(paths, host)
    elif not cgroups.processes(paths, host.name):
        raise LabError(
            f"{host.name} runs no process: pull its cable with outgate-lab link-down {host.name}"
        )


def _on_segment(topology: Topology, name: str) -> Host:
    host = topology.host(name)
    if host.role is Role.OUTSIDE:
        raise LabError(f"{name} is not on the nodes' segment: part a host from the router instead")
    return host


def _exists(paths: Paths) -> bool:
    listing = json.loads(_nft(paths, "-j", "list", "tables", "bridge"))
    return any("table" in item for item in listing["nftables"])


def _nft(paths: Paths, *arguments: str, text: str = "") -> str:
    return _nft_at(paths, FABRIC, *arguments, text=text)


def _nft_at(paths: Paths, host: str, *arguments: str, text: str = "") -> str:
    result = subprocess.run(
        netns.enter_argv(paths.netns(host), ["nft", *arguments]),
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise LabError(f"nft refused: {result.stderr.strip()}")
    return result.stdout
