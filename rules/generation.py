"""The number of the kernel's nftables ruleset: one more after each transaction, whoever's it is.

Asking for it costs a hundredth of a millisecond, listing a large ruleset a quarter of a second: as
long as it is the same, nobody has changed anything.
"""

import socket
import struct

_NETLINK_NETFILTER = 12
_GETGEN = 10 << 8 | 16  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN
_NEWGEN = 10 << 8 | 15
_REQUEST = 1
_NUMBER = 1  # NFTA_GEN_ID
_HEADER = struct.Struct("=IHHII")
_FAMILY = struct.Struct("=BBH")
_TIMEOUT = 10.0  # seconds


class Generation:
    """Of the network namespace of the thread that makes it. For one thread at a time."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER
        )
        self._socket.settimeout(_TIMEOUT)
        self._socket.bind((0, 0))

    def number(self) -> int:
        """The number now. Raises OSError if the kernel does not say."""
        length = _HEADER.size + _FAMILY.size
        self._socket.send(
            _HEADER.pack(length, _GETGEN, _REQUEST, 1, 0) + _FAMILY.pack(socket.AF_UNSPEC, 0, 0)
        )
        answer = self._socket.recv(4096)
        _, kind, _, _, _ = _HEADER.unpack_from(answer)
        at = _HEADER.size + _FAMILY.size
        if kind == _NEWGEN:
            while at + 4 <= len(answer):
                size, attribute = struct.unpack_from("=HH", answer, at)
                if attribute & 0x3FFF == _NUMBER:
                    (number,) = struct.unpack_from("!I", answer, at + 4)
                    return int(number)
                at += max(4, (size + 3) & ~3)
        raise OSError(f"nftables' generation: answered by message type {kind:#x}")

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()
