"""The gate's rules as nft text. Pure; the same on every node, but for one chain a gateway.

No rule names a device: the families `arp` and `inet` see every link's packets where they enter or
leave the IP stack, those of bridges, VLANs and bonds as the link's that carries the address. What
a bridge only passes on is not ours and not seen.

All tables are sets: what is `managed` and not `owned` is dropped and counted; what is `owned` goes
to its gateway's chain, which accepts while the gateway's lease, an element of `alive`, lives. So a
lease is one element a table, however many addresses live by it.

- `refresh`, before all else, also of others: our own frames from the loopback link, and what they
  do to `fuse` and `alive` (`outgate.vip.gate.frames`). A lease is refreshed by its gateway's mark,
  if it lives, and the frame's fuse burns. An expired element is not found from its jiffy on; what
  expires between the lookup and the update, nanoseconds later, is revived before anybody missed it.
- `arriving`, before conntrack: what comes for an address; questions about it (ND). Before
  `raw` (-300), so that a packet that is dropped here costs no conntrack entry.
- `local`: nothing may come to the node itself by an address. What belongs to a flow has been
  un-NATed by now; the rest is dropped, since a reset or an ICMP error would end a flow whose state
  is on its way here. Questions and answers of ND pass: they have been through `arriving`.
- `leaving`, behind source NAT (100) and the agent's last chain (300).
- `arp`: requests in, everything out. The kernel asks for a next hop in the name of a packet's
  source, if that is local, and whoever hears it learns: asking is answering, here.
  Replies and unasked ones of others pass: they tell this node, and are not answered.

Our announcements and probes leave by packet sockets, past all of this.

nft 1.0.6 has no word for the target of ND's messages: `@th,64,128`, behind type, code, checksum
and 4 bytes (RFC 4861 §4.3, §4.4). Nor has it one for a constant that is looked up: `meta mark & 0 |
constant` is one. A set of addresses doesn't go with it, so IPv6 has two.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address

from outgate.api.view import IPAddress
from outgate.vip.gate.frames import FUSE, MARK, MARK_MASK, PROTOCOL, SPANS, mark
from outgate.vip.gate.model import TABLE, Family, Observed

COUNTERS: Mapping[Family, tuple[str, ...]] = {
    Family.ARP: ("arp_in", "arp_out"),
    Family.INET: ("nd_in", "nd_out", "arriving", "leaving", "local"),
}
"""What was dropped, by where; `local`: came for an address that no flow here knows."""

_LEASES = """\
  set alive { type mark; flags dynamic,timeout; size 65535; }
  set fuse { type ipv4_addr; flags dynamic,timeout; size 65535; }
  chain refreshing { }
"""

_ARP = """\
  set managed4 { type ipv4_addr; size 65535; }
  map owned4 { type ipv4_addr : verdict; size 65535; }
  chain refresh {
    type filter hook input priority -500; policy accept;
  }
  chain input {
    type filter hook input priority filter - 10; policy accept;
  }
  chain output {
    type filter hook output priority filter - 10; policy accept;
  }
"""

_ARP_RULES = """\
input arp operation request arp daddr ip vmap @owned4
input arp operation request arp daddr ip @managed4 counter name arp_in drop
output arp saddr ip vmap @owned4
output arp saddr ip @managed4 counter name arp_out drop
"""

_INET = """\
  set managed4 { type ipv4_addr; size 65535; }
  set managed6 { type ipv6_addr; size 65535; }
  set managed_nd6 { typeof @th,64,128; size 65535; }
  map owned4 { type ipv4_addr : verdict; size 65535; }
  map owned6 { type ipv6_addr : verdict; size 65535; }
  map owned_nd6 { typeof @th,64,128 : verdict; size 65535; }
  set passing4 { type ipv4_addr; flags timeout; size 65535; }
  set passing6 { type ipv6_addr; flags timeout; size 65535; }
  chain refresh {
    type filter hook prerouting priority -500; policy accept;
  }
  chain arriving {
    type filter hook prerouting priority -310; policy accept;
  }
  chain local {
    type filter hook input priority filter - 10; policy accept;
  }
  chain leaving {
    type filter hook postrouting priority 310; policy accept;
  }
  chain arriving4 { }
  chain arriving6 { }
  chain asked { }
  chain leaving4 { }
  chain leaving6 { }
  chain speaking { }
"""

_INET_RULES = """\
arriving meta nfproto vmap { ipv4 : goto arriving4, ipv6 : goto arriving6 }
arriving4 ip daddr != @managed4 accept
arriving4 ip daddr vmap @owned4
arriving4 ip daddr @passing4 accept
arriving4 counter name arriving drop
arriving6 icmpv6 type nd-neighbor-solicit goto asked
arriving6 ip6 daddr != @managed6 accept
arriving6 ip6 daddr vmap @owned6
arriving6 ip6 daddr @passing6 accept
arriving6 counter name arriving drop
asked @th,64,128 vmap @owned_nd6
asked @th,64,128 @managed_nd6 counter name nd_in drop
local icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
local ip daddr @managed4 counter name local drop
local ip6 daddr @managed6 counter name local drop
leaving meta nfproto vmap { ipv4 : goto leaving4, ipv6 : goto leaving6 }
leaving4 ip saddr != @managed4 accept
leaving4 ip saddr vmap @owned4
leaving4 ip saddr @passing4 accept
leaving4 counter name leaving drop
leaving6 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } goto speaking
leaving6 ip6 saddr != @managed6 accept
leaving6 ip6 saddr vmap @owned6
leaving6 ip6 saddr @passing6 accept
leaving6 counter name leaving drop
speaking icmpv6 type nd-neighbor-advert @th,64,128 vmap @owned_nd6
speaking icmpv6 type nd-neighbor-advert @th,64,128 @managed_nd6 counter name nd_out drop
speaking ip6 saddr vmap @owned6
speaking ip6 saddr @managed6 counter name nd_out drop
"""

_CHAINS: Mapping[Family, tuple[str, ...]] = {
    Family.ARP: ("refresh", "refreshing", "input", "output"),
    Family.INET: (
        *("refresh", "refreshing", "arriving", "local", "leaving", "arriving4", "arriving6"),
        *("asked", "leaving4", "leaving6", "speaking"),
    ),
}


def install(numbers: Iterable[int]) -> str:
    """Tables, sets and rules as they have to be; sets that are there keep their elements.

    numbers: of the gateways that have a chain. One transaction: no packet passes between.
    """
    lines = [
        _table(Family.ARP, _LEASES + _ARP),
        _table(Family.INET, _LEASES + _INET),
        *(f"flush chain {f.word} {TABLE} {name}" for f, names in _CHAINS.items() for name in names),
    ]
    for family, rules in ((Family.ARP, _ARP_RULES), (Family.INET, _INET_RULES)):
        lines += (
            f"add rule {family.word} {TABLE} {line}"
            for line in (*_refreshing(family), *rules.splitlines())
        )
    return "\n".join([*lines, *map(gateway, sorted(numbers)), ""])


def _refreshing(family: Family) -> Iterator[str]:
    """What our own frames do, and nobody else's: they come by lo, with a mark of ours."""
    ours = f"iif lo meta mark & {MARK_MASK:#x} == {MARK:#x}"
    match family:
        case Family.ARP:
            source, target = "arp saddr ip", "arp daddr ip"
        case Family.INET:
            ours, source, target = f"{ours} ip protocol {PROTOCOL}", "ip saddr", "ip daddr"
    yield f"refresh {ours} goto refreshing"
    yield f"refreshing {target} 0.0.0.0 update @fuse {{ {source} timeout {FUSE}ms }} drop"
    yield f"refreshing {source} != @fuse drop"
    yield "refreshing meta mark != @alive drop"
    for span in SPANS:
        renew = f"update @alive {{ meta mark timeout {span}ms }}"
        yield f"refreshing {target} {IPv4Address(span)} {renew} drop"
    yield "refreshing drop"


def gateway(number: int) -> str:
    """The chain that asks for a gateway's lease."""
    return "\n".join(
        line
        for family, counters in ((Family.ARP, "arp_late"), (Family.INET, "late"))
        for line in (
            f"add counter {family.word} {TABLE} {counters}",
            f"add chain {family.word} {TABLE} {chain(number)}",
            f"flush chain {family.word} {TABLE} {chain(number)}",
            f"add rule {family.word} {TABLE} {chain(number)} "
            f"meta mark & 0x0 | {mark(number):#x} @alive accept",
            f"add rule {family.word} {TABLE} {chain(number)} counter name {counters} drop",
        )
    )


def without_gateway(number: int) -> str:
    """The same taken away; nothing may lead to the chain any more."""
    return "\n".join(
        line
        for family in Family
        for line in (
            f"flush chain {family.word} {TABLE} {chain(number)}",
            f"delete chain {family.word} {TABLE} {chain(number)}",
        )
    )


def anew() -> str:
    """Takes the tables away, whoever made them and whatever is in them, before `install`."""
    # `destroy` is not known to nft 1.0.6; add and delete is the same.
    return "".join(
        f"add table {family.word} {TABLE}\ndelete table {family.word} {TABLE}\n"
        for family in Family
    )


def chain(number: int) -> str:
    """The chain that owned addresses lead to."""
    return f"gw_{number}"


def _table(family: Family, content: str) -> str:
    counters = "".join(f"  counter {name} {{ }}\n" for name in COUNTERS[family])
    return f"table {family.word} {TABLE} {{\n{counters}{content}}}"


def contents(observed: Observed) -> str:
    """Managed and owned addresses as they were, for the transaction that makes the tables anew.

    Without leases: all of it is silent until a lease is there again. passing: not kept.
    """
    lines: list[str] = []
    for version, places in _PLACES.items():
        managed = [a for a in observed.managed if a.version == version]
        owned = {a: n for a, n in observed.owned.items() if a.version == version}
        for family, suffix, numeric in places:
            keys = [_key(a, numeric=numeric) for a in sorted(managed, key=int)]
            maps = [
                f"{_key(a, numeric=numeric)} : goto {chain(owned[a])}"
                for a in sorted(owned, key=int)
            ]
            for name, elements in ((f"managed{suffix}", keys), (f"owned{suffix}", maps)):
                if elements:
                    lines.append(
                        f"add element {family.word} {TABLE} {name} {{ {', '.join(elements)} }}"
                    )
    return "\n".join([*lines, ""])


_PLACES: Mapping[int, tuple[tuple[Family, str, bool], ...]] = {
    4: ((Family.ARP, "4", False), (Family.INET, "4", False)),
    6: ((Family.INET, "6", False), (Family.INET, "_nd6", True)),
}


def _key(address: IPAddress, *, numeric: bool) -> str:
    return f"{int(address):#034x}" if numeric else str(address)
