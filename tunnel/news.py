"""Which of rtnetlink's messages are about what is ours, so that the rest of a host's life is not.

Reads only what it needs of each: pods come and go, neighbours are resolved, all day long.
"""

import struct

from outgate.daemon.changes import Group

GROUPS = (
    Group.LINK,
    Group.NEIGHBOUR,
    Group.ADDRESS4,
    Group.ADDRESS6,
    Group.ROUTE4,
    Group.ROUTE6,
    Group.RULE4,
    Group.RULE6,
    Group.SETTING4,
)

# linux/rtnetlink.h, in the order of NEW, DEL
_LINK = (16, 17)
_ADDRESS = (20, 21)
_ROUTE = (24, 25)
_NEIGHBOUR = (28, 29)
_RULE = (32, 33)
_SETTING = (80, 81)

_INDEX_AT = 4  # struct ifinfomsg, ifaddrmsg, ndmsg: the link's index
_SETTING_INDEX_AT = 8  # struct netconfmsg, then NETCONFA_IFINDEX, always the first
_PROTOCOL_AT = 5  # struct rtmsg: rtm_protocol


def concerns(kind: int, body: bytes, *, index: int, device: str, protocol: int) -> bool:
    """Whether the message may be about our device, what is on it, our routes or any ip rule.

    index: the device's, 0 if there is none. protocol: of our routes.
    """
    if kind in _ROUTE:
        return body[_PROTOCOL_AT] == protocol
    if kind in _LINK:
        return _is(index, body, _INDEX_AT) or device.encode() + b"\0" in body
    if kind in _ADDRESS or kind in _NEIGHBOUR:
        return _is(index, body, _INDEX_AT)
    if kind in _SETTING:
        return _is(index, body, _SETTING_INDEX_AT)
    return kind in _RULE


def _is(index: int, body: bytes, at: int) -> bool:
    return len(body) >= at + 4 and struct.unpack_from("=i", body, at) == (index,)
