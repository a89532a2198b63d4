"""Whether something happened that may change the choice of the underlay: rtnetlink's news.

Not every pod's device is such news: only the underlay itself, its addresses, and default routes.
"""

import socket
import struct

from outgate.daemon.changes import Changes, Group
from outgate.daemon.netlink import attributes

GROUPS = (Group.LINK, Group.ADDRESS4, Group.ADDRESS6, Group.ROUTE4, Group.ROUTE6)

# linux/rtnetlink.h, in the order of NEW, DEL
_LINK = (16, 17)
_ADDRESS = (20, 21)
_ROUTE = (24, 25)

_INDEX = struct.Struct("=4xi")  # struct ifinfomsg, ifaddrmsg
_IFA_PROTO = 11  # linux/if_addr.h
_DESTINATION_LENGTH, _TABLE = 1, 4  # struct rtmsg
_MAIN = 254
_IFLA_IFNAME = 3


class UnderlayNews:
    """Of the network namespace of the thread that first asks. For one thread.

    protocol: of our own addresses, which come and go by the thousand.
    """

    def __init__(self, *, protocol: int) -> None:
        self._protocol = protocol
        self._changes: Changes | None = None

    def moved(self, name: str) -> bool:
        """Whether there were news since this was last asked; at first and after a fault, always.

        name: of the underlay's interface; empty if there is none, and then anything is news.
        """
        try:
            if self._changes is None:
                self._changes = Changes(GROUPS)
                return True
            index = _index(name)
            return self._changes.any(
                lambda kind, body: (
                    not name
                    or concerns(kind, body, name=name, index=index, protocol=self._protocol)
                )
            )
        except OSError:
            self.close()
            return True

    def close(self) -> None:
        """Closes the socket."""
        if self._changes is not None:
            self._changes.close()
            self._changes = None


def concerns(kind: int, body: bytes, *, name: str, index: int, protocol: int) -> bool:
    """Whether the message is about this interface, its addresses, or a default route.

    index: the interface's, 0 if it is not there. protocol: of addresses that are ours, and so not
    the interface's own.
    """
    if kind in _LINK:
        return _is(index, body) or _named(name) in body
    if kind in _ADDRESS:
        return _is(index, body) and not _ours(body, protocol)
    if kind in _ROUTE:
        return body[_DESTINATION_LENGTH] == 0 and body[_TABLE] == _MAIN
    return False


def _is(index: int, body: bytes) -> bool:
    return len(body) >= _INDEX.size and _INDEX.unpack_from(body) == (index,)


def _ours(body: bytes, protocol: int) -> bool:
    proto = bytes((protocol,))
    return any(
        kind == _IFA_PROTO and value == proto for kind, value in attributes(body[_INDEX.size :])
    )


def _named(name: str) -> bytes:
    value = name.encode() + b"\0"
    return struct.pack("=HH", 4 + len(value), _IFLA_IFNAME) + value


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name) if name else 0
    except OSError:
        return 0
