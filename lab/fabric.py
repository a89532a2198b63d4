"""The lab's wires: a bridge in a namespace of its own, a port for each host, a router beyond it."""

from outgate.lab import netns
from outgate.lab.options import Cni, Options
from outgate.lab.paths import Paths
from outgate.lab.topology import (
    FABRIC,
    OUTSIDE,
    ROUTER,
    Host,
    Role,
    Topology,
    router_outside,
)

BRIDGE = "br0"
_SYSCTLS = {
    "ipv4/ip_forward": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv6/conf/all/forwarding": "1",
    "ipv6/conf/default/forwarding": "1",
    "ipv6/conf/default/accept_ra": "0",
    "ipv6/conf/default/accept_dad": "0",  # addresses are usable at once, and never clash
}


def create(paths: Paths, options: Options, topology: Topology) -> None:
    """Make all namespaces, links, addresses and routes of a lab."""
    name = paths.netns_name
    netns.batch(f"netns add {name(host)}" for host in (FABRIC, *(h.name for h in topology.hosts)))
    netns.write_sysctls(paths.netns(FABRIC), _SYSCTLS)
    for host in topology.hosts:
        netns.write_sysctls(paths.netns(host.name), _SYSCTLS)
    netns.batch(
        [
            "link set lo up",
            f"link add {BRIDGE} type bridge mcast_snooping 0",
            f"link set {BRIDGE} up",
        ],
        namespace=name(FABRIC),
    )
    for host in topology.lan_hosts:
        attach(paths, options, topology, host)
    outside = topology.host(OUTSIDE)
    netns.batch(
        [
            f"link add eth1 type veth peer name eth0 address {outside.mac} netns {name(OUTSIDE)}",
            *(
                f"address add {interface} dev eth1"
                for interface in router_outside(options.families)
            ),
            "link set eth1 up",
        ],
        namespace=name(ROUTER),
    )
    netns.batch(
        [
            "link set lo up",
            *(f"address add {interface} dev eth0" for interface in outside.addresses),
            "link set eth0 up",
            *(
                f"route add default via {interface.ip}"
                for interface in router_outside(options.families)
            ),
        ],
        namespace=name(OUTSIDE),
    )


def attach(paths: Paths, options: Options, topology: Topology, host: Host) -> None:
    """Plug a host's (new) namespace into the bridge and give it addresses and routes."""
    name = paths.netns_name(host.name)
    netns.batch(
        [
            f"link add {host.name} type veth peer name eth0 address {host.mac} netns {name}",
            f"link set {host.name} master {BRIDGE} up",
        ],
        namespace=paths.netns_name(FABRIC),
    )
    commands = [
        "link set lo up",
        *(f"address add {interface} dev eth0" for interface in host.addresses),
        "link set eth0 up",
    ]
    if host.role is not Role.ROUTER:
        commands += [
            f"route add default via {interface.ip}" for interface in topology.host(ROUTER).addresses
        ]
    # the API server dials pods itself (webhooks, proxies), so the control plane knows them too
    if host.role is Role.CONTROL_PLANE or (options.cni is Cni.BRIDGE and host.is_node):
        commands += _pod_routes(topology, host)
    netns.batch(commands, namespace=name)


def replace_node(paths: Paths, options: Options, topology: Topology, node: Host) -> None:
    """Give a powered-off node an empty namespace again, as after a boot."""
    netns.batch([f"netns add {paths.netns_name(node.name)}"])
    netns.write_sysctls(paths.netns(node.name), _SYSCTLS)
    attach(paths, options, topology, node)


def unplug(paths: Paths, node: Host) -> None:
    """Take a node off the segment for good: its port and its namespace go.

    The port first: else a dead node's kernel would go on answering for its addresses.
    """
    netns.batch([f"link delete {node.name}"], namespace=paths.netns_name(FABRIC))
    netns.batch([f"netns delete {paths.netns_name(node.name)}"])


def set_link(paths: Paths, host: Host, *, up: bool) -> None:
    """Pull or plug a host's cable: its own interface loses or gets its carrier."""
    state = "up" if up else "down"
    netns.batch([f"link set {host.name} {state}"], namespace=paths.netns_name(FABRIC))


def _pod_routes(topology: Topology, host: Host) -> list[str]:
    """What flannel would do for host-gw: each other node is the next hop to its pods."""
    return [
        f"route add {cidr} via {interface.ip}"
        for other in topology.nodes
        if other.name != host.name
        for cidr, interface in zip(other.pod_cidrs, other.addresses, strict=True)
    ]
