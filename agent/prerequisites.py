"""What the agent needs of its node before it can work: looked at, and named if it is missing."""

import platform
import re
from pathlib import Path

from outgate.api.view import DataPathSettings

CAP_NET_ADMIN = 12  # linux/capability.h
NETDEV_EGRESS = (5, 16)
"""The first Linux with nftables' egress hook, which the reply route needs."""

_PROC = Path("/proc")


def missing(
    settings: DataPathSettings, *, proc: Path = _PROC, release: str = ""
) -> tuple[str, ...]:
    """What is missing, a sentence each that says what to do; empty if all is well.

    proc, release: of another system than this one, for tests.
    """
    found: list[str] = []
    if not _capable(proc):
        found.append(
            "CAP_NET_ADMIN is missing: add it to the container's securityContext.capabilities"
        )
    if settings.tunnel_subnet4 and _read(proc / "sys/net/ipv4/ip_forward") == "0":
        found.append(
            "net.ipv4.ip_forward is 0, so this node forwards nothing: sysctl -w "
            "net.ipv4.ip_forward=1"
        )
    # Without any IPv6 address there is nothing to forward, and nothing to complain about.
    if (
        settings.tunnel_subnet6
        and _global6(proc)
        and _read(proc / "sys/net/ipv6/conf/all/forwarding") == "0"
    ):
        found.append(
            "net.ipv6.conf.all.forwarding is 0, so this node forwards no IPv6: sysctl -w "
            "net.ipv6.conf.all.forwarding=1, or disable IPv6 (feature.enableIPv6=false)"
        )
    linux = _version(release or platform.release())
    if settings.reply_route and linux < NETDEV_EGRESS:
        found.append(
            f"Linux {'.'.join(map(str, linux))} has no netdev egress hook (5.16 has): upgrade, or "
            f"let replies take the CNI's routes (feature.enableGatewayReplyRoute=false)"
        )
    return tuple(found)


def _capable(proc: Path) -> bool:
    match = re.search(r"^CapEff:\s*([0-9a-f]+)", _read(proc / "self/status"), re.MULTILINE)
    return match is None or bool(int(match[1], 16) >> CAP_NET_ADMIN & 1)


def _global6(proc: Path) -> bool:
    # Columns: address, index, prefix length, scope (00: global), flags, name.
    return any(line.split()[3:4] == ["00"] for line in _read(proc / "net/if_inet6").splitlines())


def _version(release: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else NETDEV_EGRESS


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""  # not there: then nothing can be said
