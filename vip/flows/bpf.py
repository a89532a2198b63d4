"""A socket filter by which the kernel itself keeps conntrack's events from us, but a few.

Classic BPF (linux/filter.h), with the two extensions that find a netlink attribute. Lets pass only
entries that came by the tunnel and whose port, or echo identifier, source NAT has changed.
"""

import ctypes
import socket
import struct

from outgate.vip.flows.ctnetlink import (
    FROM,
    ICMP_ID,
    ICMPV6_ID,
    MARK,
    TO,
    TUPLE_ORIG,
    TUPLE_PROTO,
    TUPLE_REPLY,
)
from outgate.vip.flows.entries import LOCAL

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_LOAD, _LOAD_X, _STORE, _RETURN = 0x00, 0x01, 0x02, 0x06
_LOAD_X_MEMORY, _TO_X = 0x61, 0x07
_LOAD_WORD, _LOAD_WORD_AT_X, _LOAD_HALF_AT_X = 0x20, 0x40, 0x48
_IF_EQUAL, _IF_EQUAL_X, _IF_ANY_BIT = 0x15, 0x1D, 0x45
_FIND = 0xFFFFF000 + 12  # SKF_AD_OFF + SKF_AD_NLATTR: from offset A, of type X
_FIND_NESTED = 0xFFFFF000 + 16  # SKF_AD_NLATTR_NEST: in the attribute at offset A, of type X
_FIRST = 20  # bytes before the first attribute: struct nlmsghdr, struct nfgenmsg
_VALUE = 4  # bytes of an attribute before its value
_EVERYTHING = 0xFFFFFFFF

_Instruction = tuple[int, int, int, int]
_INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter: code, jt, jf, k


def remapped_only() -> list[_Instruction]:
    """The program: code, jump if true, jump if false, operand."""
    program: list[_Instruction] = [
        *_find(MARK),
        *_refuse_if_missing(),
        (_TO_X, 0, 0, 0),
        (_LOAD_WORD_AT_X, 0, 0, _VALUE),
        (_IF_ANY_BIT, 0, 1, LOCAL),
        (_RETURN, 0, 0, 0),
        (_IF_ANY_BIT, 1, 0, 0xFFFF0000),
        (_RETURN, 0, 0, 0),
    ]
    for before, after in ((FROM, TO), (ICMP_ID, ICMP_ID), (ICMPV6_ID, ICMPV6_ID)):
        compare = [
            (_TO_X, 0, 0, 0),
            (_LOAD_HALF_AT_X, 0, 0, _VALUE),
            (_STORE, 0, 0, 0),
            *_find(TUPLE_REPLY, TUPLE_PROTO, after),
            *_refuse_if_missing(),
            (_TO_X, 0, 0, 0),
            (_LOAD_HALF_AT_X, 0, 0, _VALUE),
            (_LOAD_X_MEMORY, 0, 0, 0),
            (_IF_EQUAL_X, 0, 1, 0),
            (_RETURN, 0, 0, 0),
            (_RETURN, 0, 0, _EVERYTHING),
        ]
        program += _find(TUPLE_ORIG, TUPLE_PROTO, before)
        program.append((_IF_EQUAL, len(compare), 0, 0))
        program += compare
    program.append((_RETURN, 0, 0, 0))
    return program


def attach(to: socket.socket, program: list[_Instruction]) -> None:
    """From here on the socket hears only what the program lets pass. Raises OSError."""
    code = b"".join(_INSTRUCTION.pack(*one) for one in program)
    buffer = ctypes.create_string_buffer(code)  # the kernel copies it
    layout = struct.pack("@HP", len(program), ctypes.addressof(buffer))  # struct sock_fprog
    to.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, layout)


def _find(*path: int) -> list[_Instruction]:
    """The offset of an attribute of an attribute …, 0 if there is none.

    Found in what is at offset 0, the message's header, there is nothing: its length is too big for
    an attribute, or its content is.
    """
    found: list[_Instruction] = [(_LOAD, 0, 0, _FIRST)]
    for depth, kind in enumerate(path):
        found.append((_LOAD_X, 0, 0, kind))
        found.append((_LOAD_WORD, 0, 0, _FIND_NESTED if depth else _FIND))
    return found


def _refuse_if_missing() -> list[_Instruction]:
    return [(_IF_EQUAL, 0, 1, 0), (_RETURN, 0, 0, 0)]
