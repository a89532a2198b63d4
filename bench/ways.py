"""Ways of a packet from a pod by another node to the outside: Outgate's, a CNI's, the least, none.

Each in a topology of its own, so that they can be measured in turns:

    pod ── worker ══ first ── outside

`outgate` is programmed by the agent's code. `vxlan` is what a CNI has: a VXLAN device with a
static FDB, and masquerading behind it. `least` is the fewest rules by which a tunnel can carry the
address that a packet is to leave with: nothing is checked, counted, or dropped. `plain` is routed,
untranslated, and not even tracked.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address

from kernel.cluster import EGRESS4, Cluster, Wish
from kernel.harness import OUTSIDE4, Namespace, Topology, node_address, pod_address

from outgate.api.view import DataPathSettings, IPAddress

POD = IPv4Address(str(pod_address("worker", 4)))

_RP_FILTER = {f"ipv4/conf/{device}/rp_filter": 0 for device in ("all", "default")}
_NO_REDIRECTS = {f"ipv4/conf/{device}/send_redirects": 0 for device in ("all", "eth0")}

_VXLAN = "type vxlan id 1 dstport 8472 nolearning"  # flannel's; UDP checksums off, as by default
_MACS = {"worker": "02:00:00:00:01:01", "first": "02:00:00:00:01:02"}
_OVERLAY = {"worker": "10.245.0.1", "first": "10.245.0.2"}

_POD_MTU = "link set eth0 mtu 1450"
"""As a CNI with such a tunnel gives it. Pods that had 1500 would find the smaller path by
themselves, but then with a tenth of the throughput: what they hand over in one piece is cut."""

_MASQUERADE_OUTSIDE = """
flush table inet cni
table inet cni {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 oifname != "vx0" masquerade
  }
}
"""

_CARRY = f"""
table inet least {{
  map class {{ type ipv4_addr : mark; elements = {{ {POD} : 0x4abc0002 }}; }}
  chain prerouting {{
    type filter hook prerouting priority -90;
    ct direction reply accept
    ct mark != 0 meta mark set ct mark & 0xff accept
    ct state established accept
    ct mark set ip saddr map @class meta mark set ct mark & 0xff
  }}
  chain source_nat {{
    type nat hook postrouting priority srcnat - 1;
    oifname "vx0" snat ip to ip saddr
  }}
  chain postrouting {{
    type filter hook postrouting priority 300;
    oifname "vx0" meta mark set ct mark >> 16
  }}
  chain output {{
    type filter hook output priority -300;
    udp dport 8472 meta mark set 0
  }}
}}
"""

_TRANSLATE = f"""
table inet least {{
  map address {{ type mark : ipv4_addr; elements = {{ 0x4abc : {EGRESS4} }}; }}
  chain prerouting {{
    type filter hook prerouting priority -160;
    iifname "vx0" ct mark set meta mark meta mark set 0
  }}
  chain source_nat {{
    type nat hook postrouting priority srcnat - 1;
    ct mark != 0 snat ip to ct mark map @address
  }}
}}
"""

_COUNT = """
table netdev bench {{
  counter arrived {{ }}
  counter wrong {{ }}
  chain ingress {{
    type filter hook ingress device "eth0" priority 0;
    ip saddr != {source} ip daddr {outside} counter name wrong
    ip saddr {source} ip protocol udp counter name arrived drop
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Way:
    """One of them. source: the address that the outside has to see."""

    name: str
    pod: Namespace
    outside: Namespace
    source: IPAddress

    def count(self, counter: str) -> int:
        """Packets that reached the outside: UDP ones that `arrived`, or any of a `wrong` source.

        The former go no further.
        """
        told = self.outside.run(f"nft list counter netdev bench {counter}").split()
        return int(told[told.index("packets") + 1])


def ways() -> tuple[Way, ...]:
    """All of them, made anew."""
    return _outgate(), _vxlan(), _least(), _plain()


def _outgate() -> Way:
    topology = Topology()
    Cluster(topology, DataPathSettings()).program(Wish(holder="first"))
    topology.pods["worker"].ip(_POD_MTU)
    return _counted("outgate", topology, EGRESS4)


def _vxlan() -> Way:
    topology = _tunnelled(_VXLAN)
    worker = topology.nodes["worker"]
    worker.ip(
        f"route add default via {_OVERLAY['first']} dev vx0 onlink table 100",
        "rule add iif pod0 lookup 100 priority 100",
    )
    worker.run("nft -f -", script=_MASQUERADE_OUTSIDE)
    return _counted("vxlan", topology, node_address("first", 4))


def _least() -> Way:
    topology = _tunnelled(f"{_VXLAN} gbp")
    worker, first = topology.nodes["worker"], topology.nodes["first"]
    worker.ip(
        f"route add default via {_OVERLAY['first']} dev vx0 onlink table 100",
        "rule add fwmark 0x2/0xff lookup 100 priority 100",
    )
    worker.run("nft -f -", script=_CARRY)
    first.ip(f"addr add {EGRESS4}/32 dev eth0")
    first.run("nft -f -", script=_TRANSLATE)
    return _counted("least", topology, EGRESS4)


def _tunnelled(link: str) -> Topology:
    """Both nodes with the end of a tunnel, and the gateway with a route back to the pod."""
    topology = Topology()
    for here, there in (("worker", "first"), ("first", "worker")):
        node = topology.nodes[here]
        node.sysctl(_RP_FILTER)
        node.ip(
            f"link add vx0 address {_MACS[here]} {link} local {node_address(here, 4)}",
            f"addr add {_OVERLAY[here]}/32 dev vx0",
            "link set vx0 up",
            f"neigh add {_OVERLAY[there]} lladdr {_MACS[there]} dev vx0 nud permanent",
        )
        node.run(f"bridge fdb append {_MACS[there]} dev vx0 dst {node_address(there, 4)}")
    topology.nodes["first"].ip(f"route add {POD} via {_OVERLAY['worker']} dev vx0 onlink")
    topology.pods["worker"].ip(_POD_MTU)
    return topology


def _plain() -> Way:
    topology = Topology()
    worker, first = topology.nodes["worker"], topology.nodes["first"]
    for node in (worker, first):
        node.sysctl({**_RP_FILTER, **_NO_REDIRECTS})
        node.run("nft flush ruleset")
    worker.ip(
        f"route add default via {node_address('first', 4)} table 100",
        "rule add iif pod0 lookup 100 priority 100",
    )
    first.ip(f"route add {POD} via {node_address('worker', 4)}")
    topology.outside.ip(f"route add {POD} via {node_address('first', 4)}")
    return _counted("plain", topology, POD)


def _counted(name: str, topology: Topology, source: IPAddress) -> Way:
    script = _COUNT.format(source=source, outside=OUTSIDE4)
    topology.outside.run("nft -f -", script=script)
    return Way(name, topology.pods["worker"], topology.outside, source)
