"""Others' tunnel devices, their routes in our tables, their ip rules: out of rtnetlink's messages.

Pure: the dumps are `outgate.daemon.netlink`'s. Reads of each message only what is asked for.
"""

import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address
from typing import Literal

from outgate.agent.node_state import ALL_BITS, Device, OtherRoute, OtherRule
from outgate.agent.owners import protocol_name
from outgate.daemon.netlink import attribute, attributes, text

GET_LINKS = 18
GET_ROUTES = 26
GET_RULES = 34

_EXT_MASK, _SKIP_STATS = 29, 1 << 3  # linux/if_link.h, linux/rtnetlink.h
ALL_LINKS = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0) + attribute(
    _EXT_MASK, struct.pack("=I", _SKIP_STATS)
)
ALL_ROUTES = struct.pack("=BBBBBBBBI", socket.AF_UNSPEC, *(0,) * 8)
ALL_RULES = ALL_ROUTES

_IFINFO = 16  # bytes of struct ifinfomsg
_IFNAME, _LINKINFO = 3, 18  # IFLA_*
_KIND, _DATA = 1, 2  # IFLA_INFO_*
_NUMBERS = {"vxlan": (1, 15), "geneve": (1, 5)}  # IFLA_VXLAN_ID, _PORT; IFLA_GENEVE_*
_GBP = 23  # IFLA_VXLAN_GBP
_PORTS = {"vxlan": 8472, "geneve": 6081}  # of a device that was given none

_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg
_CLONED = 0x200  # RTM_F_CLONED: an exception that the kernel made of a route
_DESTINATION, _OUT, _GATEWAY, _ROUTE_TABLE = 1, 4, 5, 15  # RTA_*
_BEYOND_A_BYTE = 252  # RT_TABLE_COMPAT: the table's number is in an attribute
_REDIRECT = 1  # RTPROT_REDIRECT: by ICMP, next to a route that somebody made
_TYPES = {2: "local ", 6: "blackhole ", 7: "unreachable ", 8: "prohibit ", 9: "throw "}

_RULE = struct.Struct("=BBBBBBBBI")  # struct fib_rule_hdr
_INVERT = 0x2
_KERNEL = 2  # RTPROT_KERNEL, which `ip rule` leaves out
_LOOKUP, _GOTO = 1, 2
_ACTIONS = {3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
_SYSTEM_TABLES = {253: "default", 254: "main", 255: "local"}
_TO, _FROM, _IN, _TARGET, _PRIORITY, _MARK = 1, 2, 3, 4, 6, 10  # FRA_*
_TABLE, _MASK, _OUTPUT, _PROTOCOL, _IP_PROTOCOL, _SOURCE_PORTS, _PORTS_TO = (
    15,
    16,
    17,
    21,
    22,
    23,
    24,
)
_SUPPRESS_LENGTH, _L3MDEV, _USERS = 14, 19, 20


def devices(messages: Iterable[bytes], *, name: str) -> Iterator[Device]:
    """VXLAN and Geneve devices, and the one of that name whatever it is."""
    ours = name.encode()
    for message in messages:
        # Cheaper than to read all of a pod's device: there are hundreds.
        if b"vxlan\0" in message or b"geneve\0" in message or ours in message:
            device = _device(message)
            if device.kind in _NUMBERS or device.name == name:
                yield device


def routes(
    messages: Iterable[bytes],
    *,
    tables: range,
    protocol: int,
    link_name: Callable[[int], str],
) -> Iterator[OtherRoute]:
    """Those in the tables that have another protocol."""
    for message in messages:
        family, length, _, _, table, proto, _, kind, flags = _ROUTE.unpack_from(message)
        if proto in (protocol, _REDIRECT) or flags & _CLONED:
            continue
        if table != _BEYOND_A_BYTE and table not in tables:
            continue
        found = dict(attributes(message[_ROUTE.size :]))
        table = _u32(found.get(_ROUTE_TABLE), default=table)
        if table not in tables:
            continue
        words = [_network(found.get(_DESTINATION), length, default="default", family=family)]
        if _GATEWAY in found:
            words.append(f"via {ip_address(found[_GATEWAY])}")
        if _OUT in found:
            words.append(f"dev {link_name(_u32(found[_OUT]))}")
        words.append(f"table {table} proto {protocol_name(proto)}")
        yield OtherRoute(table, proto, _TYPES.get(kind, "") + " ".join(words))


def rules(messages: Iterable[bytes], *, protocol: int) -> Iterator[OtherRule]:
    """Those with another protocol."""
    for message in messages:
        header = _RULE.unpack_from(message)
        family, to_length, from_length, _, _, _, _, action, flags = header
        found = dict(attributes(message[_RULE.size :]))
        owner = found.get(_PROTOCOL, b"\0")[0]
        if owner == protocol or family not in (socket.AF_INET, socket.AF_INET6):
            continue
        version: Literal[4, 6] = 4 if family == socket.AF_INET else 6
        priority, mark = _u32(found.get(_PRIORITY)), _u32(found.get(_MARK))
        mask = _u32(found.get(_MASK), default=ALL_BITS if mark else 0)
        table = _u32(found.get(_TABLE)) if action == _LOOKUP else 0
        words = [f"{priority}:", *(["not"] if flags & _INVERT else [])]
        words.append(f"from {_network(found.get(_FROM), from_length, family=family)}")
        if _TO in found:
            words.append(f"to {_network(found[_TO], to_length, family=family)}")
        words += _selectors(found, mark, mask)
        words.append(_action(action, table, found))
        if owner not in (0, _KERNEL):
            words.append(f"proto {protocol_name(owner)}")
        yield OtherRule(version, priority, " ".join(words), table=table, mark=mark, mask=mask)


def _device(message: bytes) -> Device:
    found = dict(attributes(message[_IFINFO:]))
    info = dict(attributes(found.get(_LINKINFO, b"")))
    kind = text(info.get(_KIND, b""))
    name = text(found.get(_IFNAME, b""))
    if kind not in _NUMBERS:
        return Device(name, kind)
    data = dict(attributes(info.get(_DATA, b"")))
    vni_at, port_at = _NUMBERS[kind]
    (port,) = struct.unpack("!H", data[port_at]) if port_at in data else (_PORTS[kind],)
    gbp = kind == "vxlan" and _GBP in data
    return Device(name, kind, vni=_u32(data.get(vni_at)), port=port, gbp=gbp)


def _selectors(found: dict[int, bytes], mark: int, mask: int) -> Iterator[str]:
    if mask:
        yield f"fwmark {mark:#x}" if mask == ALL_BITS else f"fwmark {mark:#x}/{mask:#x}"
    for key, word in ((_IN, "iif"), (_OUTPUT, "oif")):
        if key in found:
            yield f"{word} {text(found[key])}"
    if _USERS in found:
        yield "uidrange {}-{}".format(*struct.unpack("=II", found[_USERS]))
    if _IP_PROTOCOL in found:
        number = found[_IP_PROTOCOL][0]
        names = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}
        yield f"ipproto {names.get(number, number)}"
    for key, word in ((_SOURCE_PORTS, "sport"), (_PORTS_TO, "dport")):
        if key in found:
            first, last = struct.unpack("=HH", found[key])
            yield f"{word} {first}" if first == last else f"{word} {first}-{last}"


def _action(action: int, table: int, found: dict[int, bytes]) -> str:
    if action == _GOTO:
        return f"goto {_u32(found.get(_TARGET))}"
    if action != _LOOKUP:
        return _ACTIONS.get(action, f"action {action}")
    if found.get(_L3MDEV, b"\0")[0]:
        return "lookup [l3mdev-table]"
    least = _u32(found.get(_SUPPRESS_LENGTH), default=ALL_BITS)
    suppressed = "" if least == ALL_BITS else f" suppress_prefixlength {least}"
    return f"lookup {_SYSTEM_TABLES.get(table, table)}{suppressed}"


def _network(value: bytes | None, length: int, *, family: int, default: str = "all") -> str:
    if value is None:
        return default
    address = ip_address(value)
    whole = length == (32 if family == socket.AF_INET else 128)
    return str(address) if whole else f"{address}/{length}"


def _u32(value: bytes | None, *, default: int = 0) -> int:
    if value is None:
        return default
    (number,) = struct.unpack("=I", value)
    return int(number)
