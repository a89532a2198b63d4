"""Classic BPF programs: which frames the kernel hands up. Pure; `attach` is the sockets' matter.

Offsets are from the Ethernet header, as AF_PACKET sockets of type SOCK_RAW see it.
"""

import struct
from typing import NamedTuple

# linux/bpf_common.h, linux/filter.h
LOAD_WORD, LOAD_HALF, LOAD_BYTE = 0x20, 0x28, 0x30
LOAD_HALF_AT_X, LOAD_BYTE_AT_X = 0x48, 0x50
LOAD_X_IP_HEADER = 0xB1
JUMP_EQUAL, JUMP_AT_LEAST, JUMP_ANY_BIT = 0x15, 0x35, 0x45
RETURN = 0x06
PACKET_TYPE = 0xFFFFF000 + 4  # SKF_AD_OFF + SKF_AD_PKTTYPE
OTHERHOST = 3  # linux/if_packet.h: for another MAC, or with the tag of a VLAN that isn't here

SNAP = 256
"""Bytes of a frame that are handed up: more than any of these needs."""

PASS, DROP = "pass", "drop"


class Step(NamedTuple):
    """One instruction. then, otherwise: `PASS`, `DROP`, a step's label, or "" for the next."""

    code: int
    k: int
    then: str = ""
    otherwise: str = ""
    label: str = ""


def _is(value: int) -> Step:
    return Step(JUMP_EQUAL, value, "", DROP)


ARP_FRAMES = (
    Step(LOAD_BYTE, PACKET_TYPE),
    Step(JUMP_AT_LEAST, OTHERHOST, DROP),
    Step(LOAD_WORD, 14),
    _is(0x00010800),  # RFC 826: Ethernet, IPv4
    Step(LOAD_HALF, 18),
    _is(0x0604),  # the lengths of their addresses
)
"""All ARP that is not for somebody else, of a socket that gets ARP."""

ND_FRAMES = (
    Step(LOAD_BYTE, PACKET_TYPE),
    Step(JUMP_AT_LEAST, OTHERHOST, DROP),
    Step(LOAD_HALF, 20),
    _is(0x3AFF),  # ICMPv6, hop limit 255
    Step(LOAD_BYTE, 54),
    Step(JUMP_EQUAL, 135, PASS),
    _is(136),
)
"""Neighbour solicitations and advertisements, of a socket that gets IPv6."""


def echo_replies(identifier: int) -> tuple[Step, ...]:
    """Echo replies to this node's MAC with this identifier, of a socket that gets everything."""
    return (
        Step(LOAD_BYTE, PACKET_TYPE),
        _is(0),  # PACKET_HOST
        Step(LOAD_HALF, 12),
        Step(JUMP_EQUAL, 0x86DD, "six"),
        _is(0x0800),
        Step(LOAD_BYTE, 23),
        _is(1),  # ICMP
        Step(LOAD_HALF, 20),
        Step(JUMP_ANY_BIT, 0x1FFF, DROP),  # a later fragment has no ICMP header
        Step(LOAD_X_IP_HEADER, 14),
        Step(LOAD_BYTE_AT_X, 14),
        _is(0),  # echo reply
        Step(LOAD_HALF_AT_X, 18),
        Step(JUMP_EQUAL, identifier, PASS, DROP),
        Step(LOAD_BYTE, 20, label="six"),
        _is(58),
        Step(LOAD_BYTE, 54),
        _is(129),
        Step(LOAD_HALF, 58),
        _is(identifier),
    )


def assembled(steps: tuple[Step, ...]) -> bytes:
    """The program as the kernel takes it (struct sock_filter); passes what reaches its end."""
    places = {step.label: at for at, step in enumerate(steps) if step.label}
    places |= {PASS: len(steps), DROP: len(steps) + 1}
    program = [
        struct.pack(
            "=HBBI",
            step.code,
            places[step.then] - at - 1 if step.then else 0,
            places[step.otherwise] - at - 1 if step.otherwise else 0,
            step.k,
        )
        for at, step in enumerate(steps)
    ]
    ends = [struct.pack("=HBBI", RETURN, 0, 0, length) for length in (SNAP, 0)]
    return b"".join(program + ends)
