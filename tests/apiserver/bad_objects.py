"""Bad objects, and what the API server has to say of each: what is wrong, what would be right."""

from dataclasses import dataclass

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
    requiring,
    selecting,
    tunnel,
)


@dataclass(frozen=True, slots=True)
class Bad:
    """A bad object: what is bad about it, and words that its refusal must have."""

    what: str
    object: Object
    words: tuple[str, ...]


def bad(what: str, object_: Object, *words: str) -> Bad:
    return Bad(what, object_, words)


POOLS = (
    bad(
        "a pool entry that is a name",
        gateway(ipv4=["egress.example.org"]),
        "spec.ippools.ipv4[0]",
        "'egress.example.org' is not an IPv4 address, range or CIDR",
        "write 192.0.2.10, 192.0.2.10-192.0.2.20 or 192.0.2.0/28",
    ),
    bad("an empty pool entry", gateway(ipv4=[""]), "'' is not an IPv4 address", "write 192.0.2.10"),
    bad(
        "an octet above 255",
        gateway(ipv4=["192.0.2.256"]),
        "'192.0.2.256' is not an IPv4 address",
        "write 192.0.2.10",
    ),
    bad(
        "an octet with a leading zero",
        gateway(ipv4=["192.0.2.010"]),
        "'192.0.2.010' is not an IPv4 address",
    ),
    bad(
        "a range with blanks",
        gateway(ipv4=["192.0.2.10 - 192.0.2.20"]),
        "is not an IPv4 address, range or CIDR",
        "192.0.2.10-192.0.2.20",
    ),
    bad(
        "a range with a short end",
        gateway(ipv4=["192.0.2.10-20"]),
        "'192.0.2.10-20' is not",
        "write 192.0.2.10, 192.0.2.10-192.0.2.20",
    ),
    bad(
        "a range of three ends",
        gateway(ipv4=["192.0.2.1-192.0.2.2-192.0.2.3"]),
        "is not an IPv4 address, range or CIDR",
    ),
    bad(
        "an IPv6 address in the IPv4 pool",
        gateway(ipv4=["2001:db8::10"]),
        "'2001:db8::10' is IPv6: move it to ippools.ipv6",
    ),
    bad(
        "an IPv4 network in the IPv6 pool",
        gateway(ipv6=["192.0.2.0/28"]),
        "'192.0.2.0/28' is IPv4: move it to ippools.ipv4",
    ),
    bad(
        "an IPv4-mapped IPv6 address",
        gateway(ipv6=["::ffff:192.0.2.10"]),
        "is an IPv4-mapped IPv6 address: write it as IPv4, such as 192.0.2.10",
    ),
    bad(
        "an address with a zone",
        gateway(ipv6=["fe80::1%eth0"]),
        "'fe80::1%eth0' has a zone: leave out '%'",
    ),
    bad(
        "a range of two families",
        gateway(ipv4=["192.0.2.10-2001:db8::10"]),
        "is not an IPv4 address, range or CIDR",
    ),
    bad(
        "an IPv4 range that ends before it starts",
        gateway(ipv4=["192.0.2.20-192.0.2.9"]),
        "'192.0.2.20-192.0.2.9' ends before it starts: write 192.0.2.9-192.0.2.20",
    ),
    bad(
        "an IPv4 range that ends before it starts in another octet",
        gateway(ipv4=["198.51.100.1-192.0.2.255"]),
        "write 192.0.2.255-198.51.100.1",
    ),
    bad(
        "an IPv6 range that ends before it starts",
        gateway(ipv6=["2001:db8::1ff-2001:db8::100"]),
        "ends before it starts: write 2001:db8::100-2001:db8::1ff",
    ),
    bad(
        "an IPv6 range in the wrong order, written in two ways",
        gateway(ipv6=["2001:DB8:0:0::a-2001:db8::9"]),
        "write 2001:db8::9-2001:DB8:0:0::a",
    ),
    bad(
        "a pool network with host bits",
        gateway(ipv4=["192.0.2.5/28"]),
        "'192.0.2.5/28' has host bits set: write 192.0.2.0/28 for the network, "
        "or 192.0.2.5 for the one address",
    ),
    bad(
        "a prefix length that is too long",
        gateway(ipv4=["192.0.2.0/33"]),
        "'192.0.2.0/33' is not an IPv4 address, range or CIDR",
    ),
    bad(
        "a loopback pool",
        gateway(ipv4=["127.0.0.10"]),
        "'127.0.0.10' holds loopback",
        "write addresses of the gateway nodes' segment",
    ),
    bad("a link-local pool", gateway(ipv4=["169.254.0.0/24"]), "link-local", "write addresses of"),
    bad("a multicast pool", gateway(ipv6=["ff02::1-ff02::9"]), "multicast", "write addresses of"),
    bad("an unspecified pool", gateway(ipv6=["::"]), "unspecified", "write addresses of"),
    bad("the broadcast address", gateway(ipv4=["255.255.255.255"]), "broadcast", "write addresses"),
    bad("everything as a pool", gateway(ipv4=["0.0.0.0/0"]), "holds", "write addresses of"),
    bad(
        "a network that has loopback in it",
        gateway(ipv4=["126.0.0.0/7"]),
        "'126.0.0.0/7' holds loopback",
        "write addresses of",
    ),
    bad(
        "an entry that is there twice",
        gateway(ipv4=["192.0.2.10", "192.0.2.11", "192.0.2.10"]),
        "spec.ippools.ipv4",
        "192.0.2.10 is here twice: list each entry once",
    ),
    bad(
        "65 pool entries",
        gateway(ipv4=[f"192.0.2.{host}" for host in range(1, 66)]),
        "spec.ippools.ipv4",
        "must have at most 64 items",
    ),
    bad(
        "a reserved range of two families",
        gateway(reserved=["192.0.2.10-2001:db8::10"]),
        "spec.ippools.reserved[0]",
        "is not an address, a CIDR, or a range with both ends in one family",
        "write 192.0.2.10",
    ),
    bad(
        "a reserved range in the wrong order",
        gateway(reserved=["2001:db8::9-2001:db8::1"]),
        "ends before it starts: write 2001:db8::1-2001:db8::9",
    ),
)

DEFAULT_ADDRESSES = (
    bad(
        "a default address outside a range",
        gateway(ipv4=["192.0.2.10-192.0.2.20"], ipv4DefaultEIP="192.0.2.21"),
        "spec.ippools.ipv4DefaultEIP",
        "192.0.2.21 is not in ippools.ipv4: choose an address of the pool",
    ),
    bad(
        "a default address below a range",
        gateway(ipv6=["2001:db8::100-2001:db8::1ff"], ipv6DefaultEIP="2001:db8::ff"),
        "spec.ippools.ipv6DefaultEIP",
        "2001:db8::ff is not in ippools.ipv6",
    ),
    bad(
        "a default address outside all entries",
        gateway(ipv4=["192.0.2.0/28", "198.51.100.1"], ipv4DefaultEIP="192.0.2.16"),
        "192.0.2.16 is not in ippools.ipv4",
    ),
    bad(
        "a default address without a pool",
        gateway(ipv6DefaultEIP="2001:db8::10"),
        "2001:db8::10 is not in ippools.ipv6",
        "leave the default out",
    ),
    bad(
        "a default address that is reserved",
        gateway(ipv4=["192.0.2.0/28"], ipv4DefaultEIP="192.0.2.5", reserved=["192.0.2.4/31"]),
        "192.0.2.5 is in ippools.reserved, which is never given out: choose another",
    ),
    bad(
        "a default address in a reserved range",
        gateway(
            ipv6=["2001:db8::/120"],
            ipv6DefaultEIP="2001:db8::15",
            reserved=["192.0.2.1", "2001:db8::10-2001:db8::1f"],
        ),
        "2001:db8::15 is in ippools.reserved",
    ),
    bad(
        "a range as the default address",
        gateway(ipv4=["192.0.2.0/28"], ipv4DefaultEIP="192.0.2.1-192.0.2.2"),
        "is more than one address: write one here",
    ),
    bad(
        "an IPv6 address as the IPv4 default",
        gateway(ipv4=["192.0.2.0/28"], ipv4DefaultEIP="2001:db8::10"),
        "'2001:db8::10' is an IPv6 address: move it to the field for IPv6",
    ),
)

GATEWAYS = (
    bad(
        "a gateway without a node selector",
        {**gateway(), "spec": {"ippools": {}}},
        "spec.nodeSelector: Required value",
    ),
    bad(
        "labels beside the selector",
        {**gateway(), "spec": {"nodeSelector": {"matchLabels": {"egressgateway": "true"}}}},
        'unknown field "spec.nodeSelector.matchLabels"',
    ),
    bad(
        "a gateway without a spec",
        {key: value for key, value in gateway().items() if key != "spec"},
        "spec: Required value",
    ),
    bad(
        "a misspelled field",
        gateway(ipv4Pool=["192.0.2.10"]),
        'unknown field "spec.ippools.ipv4Pool"',
    ),
    bad(
        "a pool that is one string",
        gateway(ipv4="192.0.2.10"),
        "spec.ippools.ipv4",
        'must be of type array: "string"',
    ),
    bad(
        "a flag that is text",
        {**gateway(), "spec": {"nodeSelector": {"selector": {}}, "clusterDefault": "yes"}},
        "spec.clusterDefault",
        'must be of type boolean: "string"',
    ),
)

EGRESS_ADDRESSES = (
    bad(
        "useNodeIP with a fixed address",
        policy(egressIP={"useNodeIP": True, "ipv4": "192.0.2.10"}),
        "spec.egressIP",
        "useNodeIP leaves with the node's own address: remove ipv4 and ipv6",
    ),
    bad(
        "useNodeIP with a pick",
        policy(egressIP={"useNodeIP": True, "allocatorPolicy": "rr"}),
        "spec.egressIP.allocatorPolicy",
        "remove allocatorPolicy, or set useNodeIP: false",
    ),
    bad(
        "rr with a fixed address",
        policy(egressIP={"allocatorPolicy": "rr", "ipv4": "192.0.2.10"}),
        "allocatorPolicy rr picks an address, but a fixed one is given",
        "set allocatorPolicy: default",
    ),
    bad(
        "random with a fixed address",
        cluster_policy(egressIP={"allocatorPolicy": "random", "ipv6": "2001:db8::10"}),
        "allocatorPolicy random picks an address, but a fixed one is given",
    ),
    bad(
        "several of the one default address",
        policy(egressIP={"count": 2}),
        "spec.egressIP.count",
        "the gateway's default address is one, not several: set allocatorPolicy to rr or random",
    ),
    bad(
        "several of a fixed address",
        cluster_policy(egressIP={"count": 3, "ipv4": "192.0.2.10"}),
        "a fixed address is one, not several: leave out count, or remove ipv4 and ipv6",
    ),
    bad(
        "several of the node's own address",
        policy(egressIP={"count": 16, "useNodeIP": True}),
        "useNodeIP leaves with the node's one address: leave out count",
    ),
    bad(
        "too many addresses",
        policy(egressIP={"count": 17, "allocatorPolicy": "rr"}),
        "spec.egressIP.count",
        "should be less than or equal to 16",
    ),
    bad(
        "no address at all",
        policy(egressIP={"count": 0, "allocatorPolicy": "rr"}),
        "spec.egressIP.count",
        "should be greater than or equal to 1",
    ),
    bad(
        "an allocator policy that is none",
        policy(egressIP={"allocatorPolicy": "sticky"}),
        "spec.egressIP.allocatorPolicy",
        'supported values: "default", "random", "rr"',
    ),
    bad(
        "an IPv6 address as egressIP.ipv4",
        policy(egressIP={"ipv4": "2001:db8::10"}),
        "spec.egressIP.ipv4",
        "'2001:db8::10' is an IPv6 address: move it to the field for IPv6",
    ),
    bad(
        "an IPv4 address as egressIP.ipv6",
        policy(egressIP={"ipv6": "192.0.2.10"}),
        "'192.0.2.10' is an IPv4 address: move it to the field for IPv4",
    ),
    bad(
        "a network as egressIP.ipv4",
        policy(egressIP={"ipv4": "192.0.2.0/28"}),
        "'192.0.2.0/28' is more than one address: write one here",
    ),
    bad(
        "an IPv4-mapped egressIP.ipv6",
        policy(egressIP={"ipv6": "::ffff:c000:20a"}),
        "is an IPv4-mapped IPv6 address: write it as IPv4",
    ),
    bad(
        "a loopback egress IP",
        policy(egressIP={"ipv4": "127.0.0.1"}),
        "'127.0.0.1' is a loopback",
        "write one of the gateway's pool",
    ),
    bad(
        "a link-local egress IP",
        cluster_policy(egressIP={"ipv6": "fe80::1"}),
        "link-local",
        "write one of the gateway's pool",
    ),
    bad(
        "a multicast egress IP",
        policy(egressIP={"ipv4": "224.0.0.18"}),
        "multicast",
        "write one of the gateway's pool",
    ),
    bad(
        "an unspecified egress IP",
        policy(egressIP={"ipv4": "0.0.0.0"}),
        "unspecified",
        "write one of the gateway's pool",
    ),
    bad(
        "useNodeIP in a misspelling",
        policy(egressIP={"useNodeIp": True}),
        'unknown field "spec.egressIP.useNodeIp"',
    ),
)

PODS = (
    bad(
        "a policy for nobody",
        policy(applied_to={}),
        "spec.appliedTo",
        "no pods are selected: write one of podSelector, podSelectors and podSubnet",
    ),
    bad(
        "a policy with empty lists",
        policy(applied_to={"podSelectors": [], "podSubnet": []}),
        "no pods are selected: write one of podSelector",
    ),
    bad(
        "a policy without appliedTo",
        {**policy(), "spec": {"egressGatewayName": "default"}},
        "spec.appliedTo: Required value",
    ),
    bad(
        "labels and networks at once",
        policy(applied_to={"podSelector": VISITORS, "podSubnet": ["10.1.2.3"]}),
        "several of podSelector, podSelectors and podSubnet are given: write exactly one",
    ),
    bad(
        "one selector and several at once",
        cluster_policy(applied_to={"podSelector": {}, "podSelectors": [VISITORS]}),
        "several of podSelector, podSelectors and podSubnet are given",
    ),
    bad(
        "a cluster policy with namespaces only",
        cluster_policy(applied_to={"namespaceSelector": {}}),
        "no pods are selected: write one of podSelector",
    ),
    bad(
        "a namespace selector in a namespaced policy",
        policy(applied_to={"podSelector": {}, "namespaceSelector": {}}),
        'unknown field "spec.appliedTo.namespaceSelector"',
    ),
    bad(
        "a pod network with host bits",
        policy(applied_to={"podSubnet": ["10.1.2.3/16"]}),
        "spec.appliedTo.podSubnet[0]",
        "'10.1.2.3/16' has host bits set: write 10.1.0.0/16 for the network, or 10.1.2.3",
    ),
    bad(
        "a pod network that is a range",
        policy(applied_to={"podSubnet": ["10.1.2.3-10.1.2.9"]}),
        "'10.1.2.3-10.1.2.9' is a range: write CIDRs instead",
    ),
    bad(
        "In without values",
        requiring(key="app", operator="In"),
        "spec.appliedTo.podSelector.matchExpressions[0]",
        "operator In needs values: list at least one, or use Exists",
    ),
    bad(
        "NotIn with an empty list",
        requiring(key="app", operator="NotIn", values=[]),
        "operator NotIn needs values: list at least one",
    ),
    bad(
        "Exists with values",
        requiring(key="app", operator="Exists", values=["visitor"]),
        "operator Exists takes no values: remove them, or use In or NotIn",
    ),
    bad(
        "DoesNotExist with values",
        requiring(key="app", operator="DoesNotExist", values=["visitor"]),
        "operator DoesNotExist takes no values",
    ),
    bad(
        "an operator that is none",
        requiring(key="app", operator="Equals", values=["visitor"]),
        'supported values: "DoesNotExist", "Exists", "In", "NotIn"',
    ),
    bad(
        "an expression with a bad key",
        requiring(key="app name", operator="Exists"),
        "'app name' is not a label key: write one such as app or example.org/app",
    ),
    bad(
        "an expression with a bad value",
        requiring(key="app", operator="In", values=["visi tor"]),
        "'visi tor' is not a label value: write letters, digits",
    ),
    bad(
        "a label with a bad key",
        selecting(matchLabels={"/app": "visitor"}),
        "spec.appliedTo.podSelector.matchLabels",
        "'/app' is not a label key: write one such as app or example.org/app",
    ),
    bad(
        "a label with a bad value",
        selecting(matchLabels={"app": "-visitor"}),
        "'-visitor' is not a label value",
    ),
    bad(
        "a bare label instead of a selector",
        policy(applied_to={"podSelector": {"app": "visitor"}}),
        'unknown field "spec.appliedTo.podSelector.app"',
    ),
)

DESTINATIONS = (
    bad(
        "a destination that is a name",
        policy(destSubnet=["example.org"]),
        "spec.destSubnet[0]",
        "'example.org' is not a CIDR or address: write a network such as 203.0.113.0/24",
    ),
    bad(
        "a destination with host bits",
        policy(destSubnet=["10.1.2.3/16"]),
        "'10.1.2.3/16' has host bits set: write 10.1.0.0/16 for the network, "
        "or 10.1.2.3 for the one address",
    ),
    bad(
        "an IPv6 destination with host bits",
        cluster_policy(destSubnet=["2001:db8::1/32"]),
        "write 2001:db8::/32 for the network, or 2001:db8::1",
    ),
    bad(
        "a destination with a zone",
        policy(destSubnet=["fe80::1%eth0"]),
        "'fe80::1%eth0' has a zone: leave out '%'",
    ),
    bad(
        "an IPv4-mapped destination",
        policy(destSubnet=["::ffff:203.0.113.0/120"]),
        "is an IPv4-mapped IPv6 address: write it as IPv4",
    ),
    bad(
        "a destination with a netmask",
        policy(destSubnet=["203.0.113.0/255.255.255.0"]),
        "is not a CIDR or address: write a network such as 203.0.113.0/24",
    ),
    bad(
        "a multicast destination",
        policy(destSubnet=["224.0.0.0/4"]),
        "never leaves by a gateway: remove it, or write 0.0.0.0/0",
    ),
    bad("an unspecified destination", policy(destSubnet=["0.0.0.0"]), "or write 0.0.0.0/0"),
    bad("a loopback destination", policy(destSubnet=["127.0.0.0/8"]), "never leaves by a gateway"),
    bad("a link-local destination", policy(destSubnet=["fe80::/10"]), "never leaves by a gateway"),
    bad(
        "a destination that is there twice",
        policy(destSubnet=["203.0.113.0/24", "203.0.113.0/24"]),
        "203.0.113.0/24 is here twice: list each network once",
    ),
    bad(
        "a destination that is excluded",
        policy(destSubnet=["203.0.113.0/24"], excludeSubnet=["203.0.113.0/24"]),
        "spec.excludeSubnet",
        "203.0.113.0/24 is in destSubnet and in excludeSubnet: remove it from one of the two",
    ),
    bad(
        "an exclusion with host bits",
        cluster_policy(excludeSubnet=["203.0.113.7/24"]),
        "spec.excludeSubnet[0]",
        "write 203.0.113.0/24 for the network, or 203.0.113.7",
    ),
    bad(
        "257 destinations",
        policy(destSubnet=[f"198.51.{third}.0/24" for third in range(256)] + ["203.0.113.0/24"]),
        "spec.destSubnet",
        "must have at most 256 items",
    ),
)

OTHERS = (
    bad(
        "a gateway's name that is none",
        policy(egressGatewayName="My_Gateway"),
        "spec.egressGatewayName",
        "'My_Gateway' is not a name: write the gateway's metadata.name, such as default",
    ),
    bad(
        "a policy whose name is too long for a label",
        policy(name="p" * 64),
        "the name has 64 characters: at most 63 are taken",
    ),
    bad(
        "a cluster info of another name",
        cluster_info(name="other"),
        "there is one cluster info for the cluster: name it default, not other",
    ),
    bad(
        "an extra network with host bits",
        cluster_info(extraCIDR=["10.96.0.1/12"]),
        "spec.extraCIDR[0]",
        "write 10.96.0.0/12 for the network, or 10.96.0.1",
    ),
    bad(
        "an extra network that is none",
        cluster_info(extraCIDR=["pods"]),
        "'pods' is not a CIDR or address: write a network such as",
    ),
    bad(
        "a multicast MAC",
        tunnel(mac="03:00:5e:00:53:01"),
        "spec.mac",
        "'03:00:5e:00:53:01' is not a MAC of the tunnel: write 02 and five more bytes",
    ),
    bad("a MAC in capitals", tunnel(mac="02:00:5E:00:53:01"), "write 02 and five more bytes"),
    bad("index 0", tunnel(index=0), "spec.index", "should be greater than or equal to 1"),
    bad("index 32768", tunnel(index=32768), "should be less than or equal to 32767"),
    bad("a mark beyond 14 bits", tunnel(mark=16384), "should be less than or equal to 16383"),
    bad(
        "a tunnel address of the other family",
        tunnel(ipv4="2001:db8::1"),
        "spec.ipv4",
        "'2001:db8::1' is not an IPv4 address: write one such as 192.0.2.10",
    ),
    bad(
        "101 endpoints",
        endpoint_slice(*(endpoint(f"visitor-{number}") for number in range(101))),
        "endpoints",
        "must have at most 100 items",
    ),
    bad(
        "an endpoint with an address that is none",
        cluster_endpoint_slice(endpoint(ipv4=["10.1.2"])),
        "endpoints[0].ipv4[0]",
        "'10.1.2' is not an IPv4 address: write one such as 192.0.2.10",
    ),
)

BAD = (
    *POOLS,
    *DEFAULT_ADDRESSES,
    *GATEWAYS,
    *EGRESS_ADDRESSES,
    *PODS,
    *DESTINATIONS,
    *OTHERS,
)
