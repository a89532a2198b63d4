"""Good objects: every form that the API takes, and the largest of each kind (CEL has a budget)."""

from apiserver.objects import (
    VISITORS,
    Object,
    cluster_endpoint_slice,
    cluster_info,
    cluster_policy,
    endpoint,
    endpoint_slice,
    gateway,
    policy,
    probing,
    requiring,
    selecting,
    tunnel,
)

GOOD: dict[str, Object] = {
    "every form of a pool entry": gateway(
        ipv4=["192.0.2.10-192.0.2.20", "198.51.100.0/28", "203.0.113.7", "203.0.113.9-203.0.113.9"],
        ipv6=["2001:db8::10-2001:db8::1f", "2001:db8:1::/124", "2001:DB8:2::7"],
        reserved=["192.0.2.11", "198.51.100.0/31", "2001:db8::12-2001:db8::13"],
    ),
    "a default at the low end of a range": gateway(
        ipv4=["192.0.2.10-192.0.2.20"], ipv4DefaultEIP="192.0.2.10"
    ),
    "a default at the high end of a range": gateway(
        ipv6=["2001:db8::10-2001:db8::1f"], ipv6DefaultEIP="2001:DB8:0::1f"
    ),
    "a default in the middle of a range across octets": gateway(
        ipv4=["192.0.2.200-192.0.3.9"], ipv4DefaultEIP="192.0.3.1"
    ),
    "a default in the last of several entries": gateway(
        ipv4=["192.0.2.10", "198.51.100.0/28", "203.0.113.7"], ipv4DefaultEIP="203.0.113.7"
    ),
    "defaults that are empty": gateway(
        ipv4=["192.0.2.10"], ipv4DefaultEIP="", ipv6DefaultEIP="", reserved=[]
    ),
    "a gateway without pools, for useNodeIP": gateway(),
    "the whole of IPv6 unicast, as a range": gateway(ipv6=["2001::-3fff:ffff::ffff"]),
    "a ping": probing(icmp={"ips": ["203.0.113.7", "2001:db8::7"]}),
    "a ping with times": probing(icmp={"ips": ["203.0.113.7"], "interval": 1, "timeout": 2}),
    "a private router is outside enough": probing(icmp={"ips": ["10.0.0.1", "fd00::1"]}),
    "both probes": probing(
        icmp={"ips": ["203.0.113.7"]},
        http={
            "urls": ["https://probe.example.org/healthz?a=b", "http://[2001:db8::7]:8080/"],
            "interval": 5,
            "timeout": 20,
        },
    ),
    "no probe, for charts": probing(),
    "a fixed address": policy(egressIP={"ipv4": "192.0.2.10", "ipv6": "2001:db8::10"}),
    "empty fixed addresses, for charts": policy(egressIP={"ipv4": "", "ipv6": ""}),
    "useNodeIP": policy(egressIP={"useNodeIP": True}),
    "random": policy(egressIP={"allocatorPolicy": "random"}),
    "several addresses": policy(egressIP={"allocatorPolicy": "rr", "count": 16}),
    "one address, in so many words": policy(egressIP={"ipv4": "192.0.2.10", "count": 1}),
    "all pods": policy(applied_to={"podSelector": {}}),
    "several selectors": policy(applied_to={"podSelectors": [VISITORS, {}]}),
    "pods by address": policy(applied_to={"podSubnet": ["10.1.2.3", "10.2.0.0/16", "fd00::/64"]}),
    "null for what is left out": policy(applied_to={"podSelector": VISITORS, "podSubnet": None}),
    "everything outside": policy(destSubnet=["0.0.0.0/0", "::/0"], excludeSubnet=["203.0.113.7"]),
    "everything, in halves": policy(destSubnet=["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"]),
    "nested networks": policy(destSubnet=["203.0.113.0/24"], excludeSubnet=["203.0.113.0/25"]),
    "a policy for namespaces": cluster_policy(
        applied_to={"podSelector": {}, "namespaceSelector": {"matchLabels": {"team": "a"}}}
    ),
    "all operators": requiring(key="example.org/app", operator="In", values=["a", "", "A.b_c-d"]),
    "a long label key": selecting(matchLabels={f"{'a' * 63}.example.org/{'K' * 63}": "v" * 63}),
    "a tunnel": tunnel(ipv4="198.18.192.1", ipv6="fd6f:7574:6761:7465::1", mark=16383),
    "extra networks": cluster_info(extraCIDR=["10.96.0.0/12", "fd00::/8", "192.0.2.1"]),
    "an empty cluster info": cluster_info(),
}

_LONGEST6 = "2001:0db8:0000:0000:0000:0000:0000"
_LABELS = {f"{'d' * 60}.{'d' * 60}.example.org/k{number}": "v" * 63 for number in range(64)}
_SELECTOR: Object = {
    "matchLabels": _LABELS,
    "matchExpressions": [
        {"key": f"key-{number}", "operator": "In", "values": [f"{'v' * 60}{n}" for n in range(64)]}
        for number in range(16)
    ],
}
_NETWORKS = [f"2001:0db8:0000:{number:04x}:0000:0000:0000:0000/128" for number in range(256)]
_DESTINATIONS = [f"2001:0db8:0001:{number:04x}:0000:0000:0000:0000/128" for number in range(256)]

LARGEST: dict[str, Object] = {
    "gateway": gateway(
        selector=_SELECTOR,
        ipv4=[f"192.0.{number}.0-192.0.{number}.255" for number in range(64)],
        ipv6=[f"{_LONGEST6}:{n:02x}00-{_LONGEST6}:{n:02x}ff" for n in range(64)],
        reserved=[f"{_LONGEST6}:{n:02x}f0-{_LONGEST6}:{n:02x}f9" for n in range(64)],
        ipv4DefaultEIP="192.0.63.255",
        ipv6DefaultEIP=f"{_LONGEST6}:3fff",
    ),
    "probes": probing(
        icmp={"ips": [f"{_LONGEST6}:{n:04x}" for n in range(8)], "interval": 600, "timeout": 3600},
        http={"urls": [f"https://probe.example.org/{n}".ljust(512, "x") for n in range(8)]},
    ),
    "policy by labels": policy(
        name="p" * 63,
        applied_to={"podSelectors": [_SELECTOR] * 16},
        egressGatewayName="g" * 253,
        destSubnet=_DESTINATIONS,
        excludeSubnet=_NETWORKS,
    ),
    "policy by address": policy(
        applied_to={"podSubnet": _NETWORKS}, destSubnet=_DESTINATIONS, excludeSubnet=_NETWORKS
    ),
    "cluster policy": cluster_policy(
        applied_to={"podSelectors": [_SELECTOR] * 16, "namespaceSelector": _SELECTOR},
        destSubnet=_DESTINATIONS,
        excludeSubnet=_NETWORKS,
    ),
    "cluster info": cluster_info(extraCIDR=_NETWORKS),
    "endpoint slice": endpoint_slice(
        *(
            endpoint(
                f"{'p' * 250}{number:03}",
                node="n" * 253,
                ipv4=[f"10.1.{number}.{host}" for host in range(8)],
                ipv6=[f"{_LONGEST6}:{host:04x}" for host in range(8)],
            )
            for number in range(100)
        )
    ),
    "cluster endpoint slice": cluster_endpoint_slice(
        *(endpoint(f"{'p' * 250}{number:03}") for number in range(100))
    ),
}
