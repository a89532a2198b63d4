"""What iptables' matches and targets do with marks: out of xtables' structures. Pure.

The same whether they are in a legacy table or in a rule of nftables.
"""

import struct
from collections.abc import Iterator
from typing import Literal

from outgate.agent.node_state import MarkUse

Subject = Literal["packet", "connection"]
Verb = Literal["reads", "writes"]

# linux/netfilter/xt_mark.h, xt_connmark.h, xt_TPROXY.h
_PAIR = struct.Struct("=II")
_CONNMARK1, _CONNMARK2 = struct.Struct("=IIIB"), struct.Struct("=IIIBBB")
_LEAST = {
    "mark": _PAIR.size,
    "connmark": _PAIR.size,
    "MARK": _PAIR.size,
    "TPROXY": _PAIR.size,
    "CONNMARK": _CONNMARK2.size,
}
_SET, _SAVE = 0, 1  # XT_CONNMARK_*; the third is restore


def perhaps(rule: bytes) -> bool:
    """Whether the rule may have a match or a target that has to do with marks. Cheap."""
    return b"mark\0" in rule or b"MARK\0" in rule or b"TPROXY\0" in rule


def of_xtables(name: str, revision: int, info: bytes) -> Iterator[MarkUse]:
    """What the match or target of this name does with marks; where it is, is left out.

    Of a revision that has less to say than those of today, nothing.
    """
    if len(info) < _LEAST.get(name, 0):
        return
    match name:
        case "mark" | "connmark":
            value, mask = _PAIR.unpack_from(info)
            yield use("packet" if name == "mark" else "connection", "reads", mask, value)
        case "MARK":
            value, mask = _PAIR.unpack_from(info)
            # --set-xmark zeroes the mask's bits and flips the value's.
            yield use("packet", "writes", mask | value, value)
        case "TPROXY":
            mask, value = _PAIR.unpack_from(info)
            yield use("packet", "writes", mask | value, value)
        case "CONNMARK":
            yield from _connmark(info, revision)
        case _:
            pass


def use(subject: Subject, verb: Verb, mask: int, value: int | None = None) -> MarkUse:
    """One whose place is still to be said."""
    return MarkUse("", "", subject, verb, mask, value)


def _connmark(info: bytes, revision: int) -> Iterator[MarkUse]:
    form = _CONNMARK1 if revision < 2 else _CONNMARK2
    mark, connection, packet, *_, mode = form.unpack_from(info)
    if mode == _SET:
        yield use("connection", "writes", connection | mark, mark)
    elif mode == _SAVE:
        yield use("packet", "reads", packet)
        yield use("connection", "writes", connection)
    else:
        yield use("connection", "reads", connection)
        yield use("packet", "writes", packet)
