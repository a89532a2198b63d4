"""What the API server refuses of fields that hold addresses, ranges and networks.

Each function returns the rules of one sort of field. Addresses in messages are documentation
addresses, so that nobody's own are suggested.
"""

from collections.abc import Mapping

from outgate.api.cel import (
    Family,
    Rule,
    at_most,
    choose,
    ends,
    first,
    is_address,
    is_entry,
    is_range,
    say,
)

_EXAMPLES: Mapping[Family, tuple[str, str, str]] = {
    4: ("192.0.2.10", "192.0.2.10-192.0.2.20", "192.0.2.0/28"),
    6: ("2001:db8::10", "2001:db8::10-2001:db8::1f", "2001:db8::/124"),
}

# What a CIDR must not cover to be a source of answerable traffic. Single addresses and the ends
# of ranges are asked by isGlobalUnicast().
_UNUSABLE: Mapping[Family, tuple[str, ...]] = {
    4: ("127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4"),
    6: ("::1/128", "fe80::/10", "ff00::/8"),
}
_SORTS = "loopback, link-local, multicast, broadcast or unspecified"

_ZONE = ("self.contains('%')", "'{self}' has a zone: leave out '%' and what follows")
_MAPPED = (
    "self.lowerAscii().startsWith('::ffff:')",
    "'{self}' is an IPv4-mapped IPv6 address: write it as IPv4, such as 192.0.2.10",
)


def pool_entry(family: Family) -> tuple[Rule, ...]:
    """An address, a range or a CIDR of one family that may be given out."""
    address, range_, cidr = _EXAMPLES[family]
    form = f"not an IPv{family} address, range or CIDR: write {address}, {range_} or {cidr}"
    other = f"ippools.ipv{10 - family}"
    # Not by a list and exists(): API servers before 1.34 can't bound what a list's elements cost.
    clean = " && ".join(f"!cidr(self).containsCIDR('{network}')" for network in _UNUSABLE[family])
    return (
        Rule(
            f"{is_entry('self')} && {first('self')}.family() == {family}",
            form,
            choose(
                _ZONE,
                _MAPPED,
                (is_entry("self"), f"'{{self}}' is IPv{10 - family}: move it to {other}"),
                otherwise=f"'{{self}}' is {form}",
            ),
        ),
        _no_host_bits(),
        _ordered(family),
        Rule(
            f"!{is_entry('self')} || ({first('self')}.isGlobalUnicast()"
            f" && (!isCIDR(self) || ({clean}))"
            f" && (!{is_range('self')} || ip({ends('self')[1]}).isGlobalUnicast()))",
            f"holds {_SORTS} addresses: write addresses of the gateway nodes' segment",
            say(
                f"'{{self}}' holds {_SORTS} addresses, which nobody outside can answer: "
                f"write addresses of the gateway nodes' segment, such as {address}"
            ),
        ),
    )


def any_entry() -> tuple[Rule, ...]:
    """An address, a range or a CIDR of either family."""
    form = (
        "not an address, a CIDR, or a range with both ends in one family: "
        f"write {_EXAMPLES[4][0]}, {_EXAMPLES[4][1]} or {_EXAMPLES[6][2]}"
    )
    says = choose(_ZONE, _MAPPED, otherwise=f"'{{self}}' is {form}")
    return (Rule(is_entry("self"), form, says), _no_host_bits(), _ordered(4), _ordered(6))


def egress_address(family: Family) -> tuple[Rule, ...]:
    """One address of a family that may be given out; empty for none."""
    form = f"not an IPv{family} address: write one such as {_EXAMPLES[family][0]}"
    return (
        Rule(
            f"self == '' || {is_address('self', family)}",
            form,
            choose(
                _ZONE,
                _MAPPED,
                (
                    "isIP(self)",
                    f"'{{self}}' is an IPv{10 - family} address: "
                    f"move it to the field for IPv{10 - family}",
                ),
                (
                    is_entry("self"),
                    "'{self}' is more than one address: "
                    "write one here; ranges and CIDRs belong in the gateway's ippools",
                ),
                otherwise=f"'{{self}}' is {form}",
            ),
        ),
        Rule(
            "!isIP(self) || ip(self).isGlobalUnicast()",
            f"a {_SORTS} address: write one such as {_EXAMPLES[family][0]}",
            say(
                f"'{{self}}' is a {_SORTS} address, which nobody outside can answer: "
                f"write one of the gateway's pool, such as {_EXAMPLES[family][0]}"
            ),
        ),
    )


def plain_address(family: Family) -> Rule:
    """An address of a family, whatever it is good for; empty for none."""
    form = f"not an IPv{family} address: write one such as {_EXAMPLES[family][0]}"
    return Rule(f"self == '' || {is_address('self', family)}", form, say(f"'{{self}}' is {form}"))


def network() -> tuple[Rule, ...]:
    """A CIDR, or a single address, of either family."""
    form = (
        "not a CIDR or address: write a network such as 203.0.113.0/24 or 2001:db8::/32, "
        "or a single address such as 203.0.113.7"
    )
    says = choose(
        _ZONE,
        _MAPPED,
        (is_range("self"), "'{self}' is a range: write CIDRs instead, such as 203.0.113.0/24"),
        otherwise=f"'{{self}}' is {form}",
    )
    return (Rule("isIP(self) || isCIDR(self)", form, says), _no_host_bits())


def destination() -> tuple[Rule, ...]:
    """A network that traffic can leave the cluster for."""
    return (
        *network(),
        Rule(
            "!(isIP(self) || isCIDR(self)) || [isIP(self) ? ip(self) : cidr(self).ip()].all(a,"
            " !(isIP(self) && a.isUnspecified()) && !a.isLoopback() && !a.isLinkLocalUnicast()"
            " && !cidr('224.0.0.0/4').containsIP(a) && !cidr('ff00::/8').containsIP(a))",
            "loopback, link-local and multicast traffic never leaves by a gateway: remove it",
            say(
                "'{self}' is a loopback, link-local, multicast or unspecified destination, which "
                "never leaves by a gateway: remove it, or write 0.0.0.0/0 or ::/0 for everything"
            ),
        ),
    )


def _no_host_bits() -> Rule:
    return Rule(
        "!isCIDR(self) || cidr(self) == cidr(self).masked()",
        "host bits are set: write the network's first address before the slash",
        say(
            "'{self}' has host bits set: write @ for the network, "
            "or {self.substring(0, self.indexOf('/'))} for the one address",
            at="string(cidr(self).masked())",
        ),
    )


def _ordered(family: Family) -> Rule:
    low, high = ends("self")
    return Rule(
        f"!{is_range('self')} || ip({low}).family() != {family} || {at_most(low, high, family)}",
        "the range ends before it starts: write the lower address first",
        say(f"'{{self}}' ends before it starts: write {{{high}}}-{{{low}}}"),
    )
