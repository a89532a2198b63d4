"""Who is known to make what on a node: by the names of chains, tables and marks. Pure."""

PROTOCOLS = {
    0: "unspec",
    1: "redirect",
    2: "kernel",
    3: "boot",
    4: "static",
    8: "gated",
    9: "ra",
    10: "mrt",
    11: "zebra",
    12: "bird",
    13: "dnrouted",
    14: "xorp",
    15: "ntk",
    16: "dhcp",
    18: "keepalived",
    42: "babel",
    99: "openr",
    186: "bgp",
    187: "isis",
    188: "ospf",
    189: "rip",
    192: "eigrp",
}  # iproute2's rt_protos, which the image has not

_ROUTERS = {12: "BIRD", 18: "keepalived", 80: "Calico", 186: "FRR", 188: "FRR"}
"""The node's daemon that writes routes of this protocol; 80 is Felix's DeviceRouteProtocol."""

# The more special prefix first: kube-router and OVN-Kubernetes too begin theirs with KUBE-.
_CHAINS = (
    ("KUBE-POD-FW-", "kube-router"),
    ("KUBE-NWPLCY-", "kube-router"),
    ("KUBE-ROUTER-", "kube-router"),
    ("KUBE-", "kube-proxy"),
    ("cali-", "Calico"),
    ("cali:", "Calico"),
    ("FLANNEL-", "flannel"),
    ("CILIUM_", "Cilium"),
    ("OLD_CILIUM_", "Cilium"),
    ("AWS", "AWS VPC CNI"),
    ("ANTREA-", "Antrea"),
    ("Antrea: ", "Antrea"),
    ("WEAVE", "Weave Net"),
    ("OVN-KUBE-", "OVN-Kubernetes"),
    ("ISTIO_", "Istio"),
    ("ts-", "Tailscale"),
    ("CNI-", "the CNI's portmap plugin"),
    ("EGRESSGATEWAY-", "spidernet's EgressGateway"),
    ("DOCKER", "Docker"),
    ("LIBVIRT_", "libvirt"),
    ("ufw", "ufw"),
    ("f2b-", "fail2ban"),
)

_TABLES = (
    ("kube-proxy", "kube-proxy"),
    ("calico", "Calico"),
    ("flannel", "flannel"),
    ("firewalld", "firewalld"),
    ("cilium", "Cilium"),
    ("tailscale", "Tailscale"),
    ("antrea", "Antrea"),
    ("istio", "Istio"),
    ("docker", "Docker"),
)

_RULE_MARKS = {
    (0x80, 0x80): "AWS VPC CNI",
    (0x539, 0xFFFFFFFF): "Istio",
    (0x200, 0xF00): "Cilium",
    (0xA00, 0xF00): "Cilium",
    (0x200, 0xFFFFFFFF): "Cilium",
    (0x4000, 0x4000): "kube-proxy",
}

_RULE_MASKS = {0xFF0000: "Tailscale", 0xF00: "Cilium"}


def protocol_name(number: int) -> str:
    """As `ip` prints it."""
    return PROTOCOLS.get(number, str(number))


def owner_of_routes(protocol: int) -> str:
    """Who writes routes of this protocol; empty if that is not known."""
    return _ROUTERS.get(protocol, "")


def owner_of_chain(table: str, chain: str, comment: str = "") -> str:
    """Who has made the rule; empty if neither the names nor the rule's comment tell.

    table: with its family before it.
    """
    for name in (chain, comment):
        for prefix, owner in _CHAINS:
            if name.startswith(prefix):
                return owner
    bare = table.partition(" ")[2]
    return next((owner for prefix, owner in _TABLES if bare.startswith(prefix)), "")


def owner_of_mark(mark: int, mask: int) -> str:
    """Who asks for this mark in ip rules; empty if that is not known."""
    return _RULE_MARKS.get((mark, mask)) or _RULE_MASKS.get(mask, "")
