"""Which tables of ours there are, and what their chains' rules are, as the kernel has them.

Bytes, to be compared and not to be read: libnftables takes 30 ms to list a chain where there are
1,000 policies, since it reads all sets of the host first. The kernel takes some microseconds.
"""

import errno
import struct
from collections.abc import Iterator, Mapping

from outgate.daemon.netlink import NETFILTER, Netlink, attribute, attributes, text
from outgate.rules.errors import KernelRefused
from outgate.rules.model import TABLE, Family

# linux/netfilter/nfnetlink.h, nf_tables.h
_NFTABLES = 10 << 8
_GET_TABLES, _GET_RULES = _NFTABLES | 1, _NFTABLES | 7
_FAMILIES: Mapping[Family, int] = {"inet": 1, "netdev": 5}
_NFGENMSG = struct.Struct("=BBH")
_TABLE_NAME = 1
_RULE_TABLE, _RULE_CHAIN, _RULE_EXPRESSIONS = 1, 2, 4


class Dumps:
    """Of the network namespace of the thread that makes it. For one thread at a time.

    Raises KernelRefused.
    """

    def __init__(self) -> None:
        self._netlink = Netlink(NETFILTER)

    def families(self) -> list[Family]:
        """In which families there is a table of ours."""
        numbers = set()
        for payload in self._dump(_GET_TABLES, 0, b""):
            if text(dict(attributes(payload[_NFGENMSG.size :]))[_TABLE_NAME]) == TABLE:
                numbers.add(payload[0])
        return [family for family, number in _FAMILIES.items() if number in numbers]

    def chains(self, family: Family, name: str = "") -> Mapping[str, bytes]:
        """The rules of our table's chains that have any, by the chain's name; or of one alone."""
        body = attribute(_RULE_TABLE, TABLE.encode() + b"\0")
        if name:
            body += attribute(_RULE_CHAIN, name.encode() + b"\0")
        found: dict[str, bytes] = {}
        for payload in self._dump(_GET_RULES, _FAMILIES[family], body):
            parts = dict(attributes(payload[_NFGENMSG.size :]))
            if text(parts[_RULE_TABLE]) == TABLE:
                chain = text(parts[_RULE_CHAIN])
                # With its length before it: two rules are not one with the expressions of both.
                rule = attribute(_RULE_EXPRESSIONS, parts.get(_RULE_EXPRESSIONS, b""))
                found[chain] = found.get(chain, b"") + rule
        return found

    def close(self) -> None:
        """Closes its socket."""
        self._netlink.close()

    def _dump(self, kind: int, family: int, body: bytes) -> Iterator[bytes]:
        try:
            yield from self._netlink.dump(kind, _NFGENMSG.pack(family, 0, 0) + body)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise KernelRefused("tables", "read", str(error)) from error
