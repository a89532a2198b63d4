"""What a node's kernel holds that others than the CNI could have changed, comparable as text."""

import re
from dataclasses import dataclass

from outgate.lab import Lab

# Pods that come and go are not what is compared; nor are kube-proxy's and flannel's own counters.
_POD_LINK = re.compile(r"veth[0-9a-f]+")
_SYSCTLS = (
    r"net\.ipv[46]\.conf\.(all|default|eth0|cni0|flannel.*)\."
    r"(rp_filter|forwarding|arp_.*|proxy_.*|accept_ra|src_valid_mark)$"
)


@dataclass(frozen=True)
class NodeState:
    """Sorted lines of each listing."""

    tables: tuple[str, ...]
    iptables: tuple[str, ...]
    links: tuple[str, ...]
    addresses: tuple[str, ...]
    rules: tuple[str, ...]
    routes: tuple[str, ...]
    sysctls: tuple[str, ...]


def read(lab: Lab, node: str) -> NodeState:
    """The state of one node."""

    def listing(*argv: str) -> tuple[str, ...]:
        lines = lab.exec(node, *argv).splitlines()
        return tuple(sorted(line.strip() for line in lines if not _POD_LINK.search(line)))

    return NodeState(
        tables=listing("nft", "list", "tables"),
        iptables=tuple(
            line
            for tool in ("iptables-save", "ip6tables-save")
            for line in listing(tool)
            if line.startswith("-A") and "KUBE-" not in line
        ),
        links=tuple(
            line.split(":")[1].split("@")[0].strip() for line in listing("ip", "-o", "link")
        ),
        addresses=tuple(
            " ".join(line.split()[1:4])
            for line in listing("ip", "-o", "address")
            if " fe80:" not in line  # of a CNI's devices: other ones after a node's reboot
        ),
        rules=(*listing("ip", "-4", "rule"), *listing("ip", "-6", "rule")),
        routes=tuple(
            line
            for family in ("-4", "-6")
            for line in listing("ip", family, "route", "show", "table", "all")
            if " table local" not in line and not line.startswith(("local ", "multicast "))
        ),
        sysctls=listing("sysctl", "-a", "--pattern", _SYSCTLS),
    )
