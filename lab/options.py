"""What a lab is asked to be: parsed and checked once, at the edge."""

import json
import re
from dataclasses import asdict, dataclass
from enum import StrEnum

from outgate.lab.errors import LabError

DEFAULT_NAME = "outgate"
MAX_NODES = 40  # nodes are .11 to .50 of the segment; .100 and up belong to egress pools


class Cni(StrEnum):
    """How pods of different nodes reach each other."""

    FLANNEL_VXLAN = "flannel-vxlan"
    FLANNEL_HOST_GW = "flannel-host-gw"
    BRIDGE = "bridge"


class ProxyMode(StrEnum):
    """What kube-proxy programs."""

    NFTABLES = "nftables"
    IPTABLES = "iptables"


class Iptables(StrEnum):
    """Which back end of iptables the nodes have."""

    NFT = "nft"
    LEGACY = "legacy"


class Families(StrEnum):
    """The address families of nodes, pods and services."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"
    DUAL = "dual"


@dataclass(frozen=True, slots=True)
class Options:
    """One lab's shape; refuses what could not be built.

    `nodes` counts gateways and workers together; `gateways` of them carry the label
    `egressgateway=true`.
    """

    name: str = DEFAULT_NAME
    nodes: int = 3
    gateways: int = 2
    cni: Cni = Cni.FLANNEL_VXLAN
    proxy_mode: ProxyMode = ProxyMode.NFTABLES
    families: Families = Families.IPV4
    iptables: Iptables = Iptables.NFT

    def __post_init__(self) -> None:
        check_name(self.name)
        if not 1 <= self.nodes <= MAX_NODES:
            raise LabError(f"--nodes must be 1 to {MAX_NODES}, not {self.nodes}")
        if not 0 <= self.gateways <= self.nodes:
            raise LabError(f"--gateways must be 0 to --nodes ({self.nodes}), not {self.gateways}")

    def to_json(self) -> str:
        """The form kept in the lab's run folder."""
        return json.dumps(asdict(self), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Options":
        """Options as `to_json` wrote them."""
        raw = json.loads(text)
        return cls(
            name=raw["name"],
            nodes=raw["nodes"],
            gateways=raw["gateways"],
            cni=Cni(raw["cni"]),
            proxy_mode=ProxyMode(raw["proxy_mode"]),
            families=Families(raw["families"]),
            iptables=Iptables(raw["iptables"]),
        )


def check_name(name: str) -> str:
    """The name itself if it can be part of namespace, cgroup and folder names."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,11}", name):
        raise LabError(
            f"lab name {name!r} must be 1 to 12 of a-z, 0-9 and '-', not starting with '-'"
        )
    return name
