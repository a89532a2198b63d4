"""The one netlink message that pyroute2 can't build: per-family settings of a link (IFLA_AF_SPEC).

It takes the place of writes to /proc/sys, which is read-only in the agent's container.
"""

import errno
import os
import socket
import struct

_RTM_SETLINK = 19
_NLM_F_REQUEST_ACK = 0x01 | 0x04
_NLMSG_ERROR = 2
_IFLA_AF_SPEC = 26
_IFLA_INET_CONF = 1
_IPV4_DEVCONF_RP_FILTER = 8  # linux/ip.h
_IFLA_INET6_ADDR_GEN_MODE = 8
_NESTED = 0x8000

ADDR_GEN_EUI64 = 0
ADDR_GEN_NONE = 1  # linux/if_link.h: IN6_ADDR_GEN_MODE_NONE


def message(index: int, *, rp_filter: int, addr_gen_mode: int | None) -> bytes:
    """RTM_SETLINK for the link of that index; without IPv6 there is no `addr_gen_mode` to set."""
    conf = _attribute(_IPV4_DEVCONF_RP_FILTER, struct.pack("=I", rp_filter))
    families = _nested(socket.AF_INET, _nested(_IFLA_INET_CONF, conf))
    if addr_gen_mode is not None:
        mode = _attribute(_IFLA_INET6_ADDR_GEN_MODE, struct.pack("=B", addr_gen_mode))
        families += _nested(socket.AF_INET6, mode)
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, 0, 0)
    body += _nested(_IFLA_AF_SPEC, families)
    return struct.pack("=IHHII", 16 + len(body), _RTM_SETLINK, _NLM_F_REQUEST_ACK, 1, 0) + body


def send(channel: socket.socket, request: bytes) -> None:
    """Send it and wait for the kernel's answer; OSError if that is no."""
    channel.send(request)
    answer = channel.recv(65536)
    _, kind, _, _, _ = struct.unpack_from("=IHHII", answer)
    (code,) = struct.unpack_from("=i", answer, 16)
    if kind != _NLMSG_ERROR:
        raise OSError(errno.EPROTO, f"answered by message type {kind}")
    if code:
        raise OSError(-code, os.strerror(-code))


def _nested(type_: int, payload: bytes) -> bytes:
    return _attribute(type_ | _NESTED, payload)


def _attribute(type_: int, payload: bytes) -> bytes:
    padding = b"\0" * (-len(payload) % 4)
    return struct.pack("=HH", 4 + len(payload), type_) + payload + padding
