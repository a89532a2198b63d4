"""Whether this node may still hold an address of ours, told in 0.2 ms and without pyroute2.

Most nodes are no gateways: their vip process never loads a netlink library. It says "perhaps",
never which: `outgate.vip.kernel` observes for real.
"""

import socket
import struct

from outgate.vip.errors import AddressRefused
from outgate.vip.model import ADDRESS_PROTOCOL

# linux/netlink.h, linux/rtnetlink.h
_RTM_GETADDR = 22
_NLM_F_REQUEST_DUMP = 0x301
_NLMSG_DONE = 3
_NLMSG_ERROR = 2
_IFA_PROTO = 11


def perhaps_owned() -> bool:
    """Whether the dump of all addresses has our mark anywhere. Raises AddressRefused.

    The attribute's bytes are looked for, not parsed: by chance they may stand in another place,
    which costs an import and nothing else.
    """
    mark = struct.pack("=HHB", 5, _IFA_PROTO, ADDRESS_PROTOCOL)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
            netlink.sendall(
                struct.pack("=IHHIIB7x", 24, _RTM_GETADDR, _NLM_F_REQUEST_DUMP, 1, 0, 0)
            )
            while True:
                dump = netlink.recv(1 << 16)
                if mark in dump:
                    return True
                (kind,) = struct.unpack_from("=H", dump, 4)
                if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                    return False
    except OSError as error:
        raise AddressRefused(f"list addresses: {error}") from error
