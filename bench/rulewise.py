"""The other way to do it: one rule for each policy, with a set of pods and a set of destinations.

In iptables (legacy, or on nftables) with ipset, and in nft. A rule marks the packet, as the rules
of such gateways do, and the next one is tried; what follows from the mark is left out, in their
favour.
"""

from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address

from bench.netns import Namespace
from bench.workload import PODS, destination4, pod_address4


def nft(node: Namespace, policies: int) -> None:
    """As nft would have it, with two named sets a policy."""
    node.run("nft -f -", script="\n".join(_nft(policies)))


def iptables_nft(node: Namespace, policies: int) -> None:
    """iptables on nftables."""
    _iptables(node, policies, restore="iptables-nft-restore")


def iptables_legacy(node: Namespace, policies: int) -> None:
    """iptables as it was."""
    _iptables(node, policies, restore="iptables-legacy-restore")


KINDS: Mapping[str, Callable[[Namespace, int], None]] = {
    "nft": nft,
    "iptables-nft": iptables_nft,
    "iptables-legacy": iptables_legacy,
}


def _pairs(policies: int) -> Iterator[tuple[int, IPv4Address, IPv4Address]]:
    for number in range(policies):
        yield number, pod_address4(number % PODS), destination4(number)


def _nft(policies: int) -> Iterator[str]:
    yield "table ip rulewise {"
    for number, pod, destination in _pairs(policies):
        yield f"set p{number} {{ type ipv4_addr; elements = {{ {pod} }}; }}"
        yield f"set d{number} {{ type ipv4_addr; elements = {{ {destination} }}; }}"
    yield "chain prerouting {"
    yield "type filter hook prerouting priority mangle;"
    for number, _, _ in _pairs(policies):
        yield f"ip saddr @p{number} ip daddr @d{number} meta mark set 0x1"
    yield "}"
    yield "}"


def _iptables(node: Namespace, policies: int, *, restore: str) -> None:
    sets: list[str] = []
    rules: list[str] = []
    for number, pod, destination in _pairs(policies):
        sets += [
            f"create p{number} hash:ip hashsize 64",
            f"create d{number} hash:net hashsize 64",
            f"add p{number} {pod}",
            f"add d{number} {destination}",
        ]
        rules.append(
            f"-A PREROUTING -m set --match-set p{number} src -m set --match-set d{number} dst"
            " -j MARK --set-mark 1"
        )
    node.run("ipset restore", script="\n".join([*sets, ""]))
    node.run(restore, script="\n".join(["*mangle", *rules, "COMMIT", ""]))
