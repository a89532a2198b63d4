"""The way of a packet: a pod, its node, and what is beyond the node's interface.

    pods (10.244.1.0/24) ── node (192.0.2.1) ── beyond (192.0.2.2, and everything else)

The node masquerades what its pods send elsewhere, as a CNI does. What has come through the node
is dropped as soon as it is beyond, and counted; so is what comes back to the pods.
"""

import json
import re
from ipaddress import IPv4Address

from bench.netns import Namespace
from bench.wire import Sender

NODE = IPv4Address("192.0.2.1")

_LINK = ("ipv6/conf/default/accept_dad", "ipv6/conf/default/accept_ra")

_MASQUERADE = """
table inet cni {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr 10.0.0.0/8 ip daddr != 10.0.0.0/8 masquerade
  }
}
"""

_DROP = """
table netdev bench {
  counter arrived { }
  chain ingress {
    type filter hook ingress device "eth0" priority 0;
    ip protocol udp counter name arrived drop
  }
}
"""

_REPLY = re.compile(r"src=\S+ dst=(\S+) sport=\d+ dport=(\d+)")


class Path:
    """One of them, in namespaces of its own.

    sender: sends from the pods, from whatever address. outside: the same from beyond.
    """

    def __init__(self) -> None:
        self.pods, self.node, self.beyond = map(Namespace, ("pods", "node", "beyond"))
        for namespace in (self.pods, self.node, self.beyond):
            namespace.sysctl(dict.fromkeys(_LINK, 0))
        self.node.ip(
            f"link add pod0 type veth peer name eth0 netns {self.pods.name}",
            f"link add eth0 type veth peer name eth0 netns {self.beyond.name}",
            "addr add 10.244.9.1/30 dev pod0",
            f"addr add {NODE}/24 dev eth0",
            "link set pod0 up",
            "link set eth0 up",
        )
        self.pods.ip(
            "addr add 10.244.9.2/30 dev eth0",
            "link set eth0 up",
            "route add default via 10.244.9.1",
            "route add local 10.244.1.0/24 dev lo",
        )
        self.beyond.ip(
            "addr add 192.0.2.2/24 dev eth0", "link set eth0 up", f"route add default via {NODE}"
        )
        self.node.ip("route add default via 192.0.2.2", "route add 10.244.1.0/24 via 10.244.9.2")
        self.node.sysctl({"ipv4/ip_forward": 1})
        self.node.run("nft -f -", script=_MASQUERADE)
        self.pods.run("nft -f -", script=_DROP)
        self.beyond.run("nft -f -", script=_DROP)
        self.sender = Sender(self.pods)
        self.outside = Sender(self.beyond)

    def forget(self) -> None:
        """Flush the node's conntrack: all flows are new again."""
        self.node.run("conntrack -F")

    def arrived(self) -> int:
        """Packets that came through the node, all in all."""
        listed = json.loads(self.beyond.run("nft -j list counters"))["nftables"]
        return int(next(one["counter"]["packets"] for one in listed if "counter" in one))

    def bindings(self) -> dict[int, tuple[IPv4Address, bool]]:
        """Of each flow, by its source port: the address that it left with; whether it is answered.

        For flows whose first port is kept by the translation.
        """
        found: dict[int, tuple[IPv4Address, bool]] = {}
        for line in self.node.run("conntrack -L -p udp").splitlines():
            pairs = _REPLY.findall(line)
            if len(pairs) == 2:
                (_, _), (bound, port) = pairs
                found[int(port)] = IPv4Address(bound), "[UNREPLIED]" not in line
        return found
