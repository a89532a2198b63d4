"""The gate's tables as wholes: written by libnftables, read and compared by bare netlink.

Rules are written rarely: at the start, for a new gateway, after somebody has tampered. libnftables
is loaded then, and let go: it takes some milliseconds and, beside large tables, a lot of memory.
"""

import errno
from collections.abc import Iterator
from ipaddress import ip_address

from outgate.api.view import IPAddress
from outgate.daemon.netlink import text
from outgate.vip.gate import messages
from outgate.vip.gate.channel import Channel
from outgate.vip.gate.errors import GateRefused
from outgate.vip.gate.frames import lease_key
from outgate.vip.gate.model import TABLE, Element, Family, Observed

_MESSAGE_MAX = 300  # characters of nft's own words: it repeats the whole command

# linux/netfilter/nf_tables.h
_RULE_CHAIN = 2
_SET_NAME = 2

Fingerprint = tuple[tuple[object, ...], ...]


def write(script: str) -> None:
    """One transaction of nft text. Raises GateRefused."""
    from nftables import Nftables  # noqa: PLC0415 — see above

    code, _, error = Nftables().cmd(script)
    if code != 0:
        line = next((line for line in error.splitlines() if "rror" in line), error.strip())
        raise GateRefused(f"write the tables {TABLE}: {line[:_MESSAGE_MAX]}")


class Tables:
    """Reads ours. Raises GateRefused."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def fingerprint(self) -> Fingerprint:
        """Rules and the sets' names, to be compared with how they were written: 1 ms."""
        return tuple(self._things())

    def observe(self) -> Observed:
        """What is in our sets; nothing where they aren't."""
        # By their rules: of chains the kernel tells all that the host has.
        request = messages.table_request(Family.INET)
        names = {
            text(messages.body(payload)[_RULE_CHAIN])
            for payload in self._dump(messages.GET_RULES, request)
        }
        numbers = frozenset(
            int(name[3:]) for name in names if name.startswith("gw_") and name[3:].isdigit()
        )
        lives = [
            {element.key: element.timeout for element in self._elements(family, "alive")}
            for family in Family
        ]
        return Observed(
            managed=frozenset(a for a, _ in self._addresses("managed")),
            owned={
                a: int(one.goto[3:])
                for a, one in self._addresses("owned")
                if one.goto.startswith("gw_") and one.goto[3:].isdigit()
            },
            alive={
                n: left / 1000
                for n in sorted(numbers)
                if (left := min(some.get(lease_key(n), 0) for some in lives))
            },
            numbers=numbers,
        )

    def whole(self, seen: Observed) -> bool:
        """Whether the second places where addresses stand (ARP, ND) say the same."""
        arp = {e.key: e.goto for e in self._elements(Family.ARP, "owned4")}
        nd = {e.key: e.goto for e in self._elements(Family.INET, "owned_nd6")}
        owned: dict[int, dict[bytes, str]] = {4: {}, 6: {}}
        for address, number in seen.owned.items():
            owned[address.version][address.packed] = f"gw_{number}"
        managed: dict[int, set[bytes]] = {4: set(), 6: set()}
        for address in seen.managed:
            managed[address.version].add(address.packed)
        return (
            arp == owned[4]
            and nd == owned[6]
            and {e.key for e in self._elements(Family.ARP, "managed4")} == managed[4]
            and {e.key for e in self._elements(Family.INET, "managed_nd6")} == managed[6]
        )

    def _addresses(self, what: str) -> Iterator[tuple[IPAddress, Element]]:
        for name in (f"{what}4", f"{what}6"):
            for element in self._elements(Family.INET, name):
                yield ip_address(element.key), element

    def _elements(self, family: Family, name: str) -> Iterator[Element]:
        for payload in self._dump(messages.GET_ELEMENTS, messages.set_request(family, name)):
            yield from messages.elements(payload)

    def _things(self) -> Iterator[tuple[object, ...]]:
        for family in Family:
            request = messages.table_request(family)
            for payload in self._dump(messages.GET_RULES, request):
                # The kernel gives each handle once, so what was made anew shows: also a chain,
                # whose rules went with it.
                yield messages.GET_RULES, family, messages.content(payload)
            for payload in self._dump(messages.GET_SETS, request):
                name = text(messages.body(payload)[_SET_NAME])
                if not name.startswith("__"):  # nft's own, of rules
                    yield messages.GET_SETS, family, name

    def _dump(self, kind: int, request: bytes) -> Iterator[bytes]:
        try:
            yield from self._channel.dump(kind, request)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise GateRefused(f"read the tables {TABLE}: {error}") from error
