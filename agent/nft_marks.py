"""What nftables' rules do with marks: out of the kernel's own messages. Pure.

`nft` itself would be too slow for a kube-proxy's 20,000 rules, and can't say what an iptables rule
does with a mark where iptables' own libraries are missing, as in our image.
"""

import struct
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from outgate.agent.node_state import ALL_BITS, MarkUse
from outgate.agent.xt_marks import Subject, of_xtables, perhaps, use
from outgate.daemon.netlink import attributes, text

GET_RULES = 10 << 8 | 7  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETRULE
ALL_RULES = struct.pack("=BBH", 0, 0, 0)  # struct nfgenmsg: of every family

_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_OUR_FAMILIES = (1, 3, 5)

# linux/netfilter/nf_tables.h
_NFGENMSG = 4
_TABLE, _CHAIN, _EXPRESSIONS, _USERDATA = 1, 2, 4, 7  # NFTA_RULE_*
_NAME, _DATA = 1, 2  # NFTA_EXPR_*
_VALUE = 1  # NFTA_DATA_VALUE
_KEY, _MARK = 2, 3  # NFTA_META_KEY and NFTA_CT_KEY; NFT_META_MARK and NFT_CT_MARK
_TO = 1  # NFTA_META_DREG and so on: where an expression puts what it found
_META_FROM, _CT_FROM = 3, 4
_BITWISE_FROM, _BITWISE_TO, _BITWISE_MASK, _BITWISE_XOR = 1, 2, 4, 5
_BITWISE_OP, _BITWISE_SECOND = 6, 8
_COMPARED, _COMPARISON, _WITH = 1, 2, 3
_EXACT = (0, 1)  # NFT_CMP_EQ, NFT_CMP_NEQ
_TURNED_FROM, _TURNED_TO = 1, 2
_LOOKED_UP, _FOUND = 2, 3
_XT_NAME, _XT_REVISION, _XT_INFO = 1, 2, 3  # NFTA_MATCH_*, NFTA_TARGET_*
_COMMENT = 0  # NFTNL_UDATA_RULE_COMMENT

_SUBJECTS: dict[str, Subject] = {"meta": "packet", "ct": "connection"}
_WRITES_FROM = {"meta": _META_FROM, "ct": _CT_FROM}

_BY_KEY = struct.pack("=HH", 8, _KEY) + struct.pack("!I", _MARK)
"""In every rule that names a mark in nftables' own words, and in hardly any other."""

_Expression = tuple[str, Mapping[int, bytes]]


@dataclass(frozen=True, slots=True)
class _Register:
    """A mark as far as it was masked and flipped since it was loaded, or a constant (no subject).

    Not known: something else was made of it.
    """

    subject: Subject | None = None
    kept: int = ALL_BITS
    flipped: int = 0
    known: bool = True


_UNKNOWN = _Register(known=False)


def of_nftables(messages: Iterable[bytes], *, ours: Collection[str]) -> Iterator[MarkUse]:
    """What others' rules do with marks; ours: the names of our tables."""
    for message in messages:
        if _BY_KEY not in message and not perhaps(message):
            continue
        found = dict(attributes(message[_NFGENMSG:]))
        family, name = message[0], text(found[_TABLE])
        if name in ours and family in _OUR_FAMILIES:
            continue
        expressions = list(_expressions(found.get(_EXPRESSIONS, b"")))
        comment = _comment(found.get(_USERDATA, b"")) or _xt_comment(expressions)
        for each in _Rule().uses(expressions):
            yield replace(
                each,
                table=f"{_FAMILIES.get(family, family)} {name}",
                chain=text(found[_CHAIN]),
                comment=comment,
            )


class _Rule:
    """Follows the marks through the registers of one rule."""

    def __init__(self) -> None:
        self._registers: dict[int, _Register] = {}

    def uses(self, expressions: Iterable[_Expression]) -> Iterator[MarkUse]:
        """What they do with marks, one after the other."""
        for name, data in expressions:
            match name:
                case "meta" | "ct" if _number(data.get(_KEY)) == _MARK:
                    yield from self._mark(name, data)
                case "immediate":
                    self._put(data.get(_TO), _Register(None, 0, _constant(data.get(_DATA))))
                case "bitwise":
                    self._bitwise(data)
                case "byteorder":  # before a comparison of sizes
                    turned = replace(self._get(data.get(_TURNED_FROM)), known=False)
                    self._put(data.get(_TURNED_TO), turned)
                case "cmp":
                    yield from self._compare(data)
                case "lookup":
                    yield from self._look_up(data.get(_LOOKED_UP))
                    self._put(data.get(_FOUND), _UNKNOWN)
                case "range":
                    yield from self._look_up(data.get(_COMPARED))
                case "match" | "target":
                    revision = _number(data.get(_XT_REVISION))
                    yield from of_xtables(
                        text(data.get(_XT_NAME, b"")), revision, data.get(_XT_INFO, b"")
                    )
                case _:
                    # Whatever it has put there, it is no mark.
                    self._put(data.get(_TO), _UNKNOWN)

    def _mark(self, name: str, data: Mapping[int, bytes]) -> Iterator[MarkUse]:
        subject = _SUBJECTS[name]
        source = data.get(_WRITES_FROM[name])
        if source is None:
            self._put(data.get(_TO), _Register(subject))
            return
        value = self._get(source)
        if value.subject == subject and value.known:
            changed = ALL_BITS & ~value.kept | value.flipped
            if changed:
                yield use(subject, "writes", changed, value.flipped)
            return
        if value.subject:
            yield use(value.subject, "reads", value.kept)
        constant = value.flipped if value.known and not value.subject else None
        yield use(subject, "writes", ALL_BITS, constant)

    def _bitwise(self, data: Mapping[int, bytes]) -> None:
        source = self._get(data.get(_BITWISE_FROM))
        mask, flip = _constant(data.get(_BITWISE_MASK)), _constant(data.get(_BITWISE_XOR))
        if _number(data.get(_BITWISE_OP)) or _BITWISE_SECOND in data:
            made = replace(source, known=False)  # shifted, or mixed with another register
        else:
            made = replace(source, kept=source.kept & mask, flipped=source.flipped & mask ^ flip)
        self._put(data.get(_BITWISE_TO), made)

    def _compare(self, data: Mapping[int, bytes]) -> Iterator[MarkUse]:
        source = self._get(data.get(_COMPARED))
        if source.subject:
            exact = source.known and _number(data.get(_COMPARISON)) in _EXACT
            value = _constant(data.get(_WITH)) if exact else None
            yield use(source.subject, "reads", source.kept, value)

    def _look_up(self, register: bytes | None) -> Iterator[MarkUse]:
        source = self._get(register)
        if source.subject:
            yield use(source.subject, "reads", source.kept)

    def _get(self, register: bytes | None) -> _Register:
        return self._registers.get(_place(register), _UNKNOWN)

    def _put(self, register: bytes | None, value: _Register) -> None:
        self._registers[_place(register)] = value


def _expressions(data: bytes) -> Iterator[_Expression]:
    for _, element in attributes(data):
        found = dict(attributes(element))
        yield text(found.get(_NAME, b"")), dict(attributes(found.get(_DATA, b"")))


def _comment(userdata: bytes) -> str:
    if len(userdata) < 2 or userdata[0] != _COMMENT:
        return ""
    return text(userdata[2 : 2 + userdata[1]])


def _xt_comment(expressions: Iterable[_Expression]) -> str:
    for name, data in expressions:
        if name == "match" and text(data.get(_XT_NAME, b"")) == "comment":
            return text(data.get(_XT_INFO, b""))
    return ""


def _place(register: bytes | None) -> int:
    """A register by the first four of its bytes: NFT_REG_1 is NFT_REG32_00 to _03."""
    number = _number(register)
    return number if number >= 8 else 4 + 4 * number


def _number(value: bytes | None) -> int:
    """An attribute's number of four bytes; 0 if it is none."""
    return int.from_bytes(value) if value is not None and len(value) == 4 else 0


def _constant(value: bytes | None) -> int:
    """A constant of a mark's size, in the host's own order; 0 if it has another."""
    raw = dict(attributes(value or b"")).get(_VALUE, b"")
    return int.from_bytes(raw, sys.byteorder) if len(raw) == 4 else 0
