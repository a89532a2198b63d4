"""The node's addresses, by netlink: only those that carry our IFA_PROTO are ever removed.

pyroute2 is imported with this module (0.4 s, 20 MB), so this module is imported late: see
`outgate.vip.glance`, which tells without it whether there is anything to adopt.
"""

import errno
import os
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from ipaddress import ip_address, ip_network

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from outgate.api.view import IPAddress
from outgate.daemon.changes import Changes, Group
from outgate.daemon.closing import Closing
from outgate.vip.address_batch import AddressBatch
from outgate.vip.address_list import listed
from outgate.vip.errors import AddressRefused
from outgate.vip.model import ADDRESS_PROTOCOL, Holding, Link, Observed

RT_TABLE_MAIN = 254  # linux/rtnetlink.h
ARPHRD_ETHER = 1  # linux/if_arp.h: links without MACs can't announce
IFF_UP_AND_CARRIER = 0x1 | 0x10000  # linux/if.h: IFF_UP, IFF_LOWER_UP

_GONE = frozenset((errno.EADDRNOTAVAIL, errno.ENODEV))


class AddressKernel(Closing):
    """Observes and changes the addresses of its thread's network namespace (needs CAP_NET_ADMIN).

    For one thread. Linux 5.18 is the oldest that keeps IFA_PROTO: without it what was added would
    not be known as ours again, so the first address added is read back.
    """

    def __init__(self) -> None:
        self._ip = IPRoute()
        self._addresses = AddressBatch()
        self._proven = False
        # Before the first look, so that nothing is missed in between.
        self._changes = Changes((Group.LINK, Group.ADDRESS4, Group.ADDRESS6))

    def touched(self) -> bool:
        """Whether links or addresses changed since this was last asked. Raises AddressRefused."""
        try:
            return self._changes.any(lambda kind, body: True)
        except OSError as error:
            raise AddressRefused(f"hear of changes: {error}") from error

    def observe(self) -> Observed:
        """What addresses and Ethernet links there are. Raises AddressRefused."""
        try:
            links = {m["index"]: m for m in self._ip.get_links() if m["ifi_type"] == ARPHRD_ETHER}
            addresses = list(listed())
            routes = [
                route
                for family in (socket.AF_INET, socket.AF_INET6)
                for route in self._ip.get_default_routes(family=family, table=RT_TABLE_MAIN)
            ]
        except (NetlinkError, OSError) as error:
            raise AddressRefused(f"list links and addresses: {error}") from error
        names = {index: str(link.get("ifname")) for index, link in links.items()}
        ours = [one for one in addresses if one.protocol == ADDRESS_PROTOCOL]
        others = [one for one in addresses if one.protocol != ADDRESS_PROTOCOL]
        return Observed(
            owned=frozenset(
                Holding(one.address, names[one.link]) for one in ours if one.link in names
            ),
            foreign=frozenset(
                Holding(one.address, names.get(one.link, str(one.link))) for one in others
            ),
            links=frozenset(
                Link(
                    name=names[index],
                    mac=str(link.get("address")),
                    up=link["flags"] & IFF_UP_AND_CARRIER == IFF_UP_AND_CARRIER,
                    connected=frozenset(
                        ip_network((one.address, one.length), strict=False)
                        for one in others
                        if one.link == index
                        and one.length < one.address.max_prefixlen
                        and not one.address.is_link_local
                    ),
                )
                for index, link in links.items()
            ),
            routers=frozenset(
                Holding(ip_address(route.get("gateway")), names[route.get("oif")])
                for route in routes
                if route.get("gateway") and route.get("oif") in names
            ),
        )

    def add(self, holding: Holding) -> None:
        """Puts the address on the link; there already is fine. Raises AddressRefused."""
        _raise_first(self.add_all([holding]))

    def remove(self, holding: Holding) -> None:
        """Takes our address off the link; gone already is fine. Raises AddressRefused."""
        _raise_first(self.remove_all([holding]))

    def add_all(self, holdings: Collection[Holding]) -> Mapping[Holding, AddressRefused]:
        """Puts the addresses on their links, each as a whole prefix of its own; which not, and why.

        There already is fine.
        """
        refused = self._batch("add", holdings, self._addresses.add, fine=frozenset((errno.EEXIST,)))
        added = [holding for holding in holdings if holding not in refused]
        if added and not self._proven:
            owned = self.observe().owned
            for holding in added:
                if holding not in owned:
                    refused[holding] = AddressRefused(
                        f"add {holding.address} to {holding.interface}: the kernel forgets whose "
                        f"address it is (IFA_PROTO); Linux 5.18 or later is needed on gateway nodes"
                    )
            self._proven = not refused
        return refused

    def remove_all(self, holdings: Collection[Holding]) -> Mapping[Holding, AddressRefused]:
        """Takes our addresses off their links; which not, and why. Gone already is fine."""
        return self._batch("remove", holdings, self._addresses.remove, fine=_GONE)

    def _batch(
        self,
        op: str,
        holdings: Collection[Holding],
        send: Callable[[Sequence[tuple[IPAddress, int]]], Sequence[int]],
        *,
        fine: frozenset[int],
    ) -> dict[Holding, AddressRefused]:
        refused: dict[Holding, AddressRefused] = {}
        indexes: dict[str, int] = {}
        asked: list[tuple[Holding, int]] = []
        for holding in holdings:
            try:
                if holding.interface not in indexes:
                    indexes[holding.interface] = self._index(holding.interface)
            except NetlinkError as error:
                if error.code not in fine:
                    refused[holding] = _refused(op, holding, error)
            except OSError as error:
                refused[holding] = _refused(op, holding, error)
            else:
                asked.append((holding, indexes[holding.interface]))
        try:
            codes = send([(holding.address, index) for holding, index in asked])
        except OSError as error:
            return refused | {holding: _refused(op, holding, error) for holding, _ in asked}
        for (holding, _), code in zip(asked, codes, strict=True):
            if code and code not in fine:
                refused[holding] = _refused(op, holding, OSError(code, os.strerror(code)))
        return refused

    def _index(self, interface: str) -> int:
        found = self._ip.link_lookup(ifname=interface)
        if not found:
            raise NetlinkError(errno.ENODEV, f"no link {interface}")
        return int(found[0])

    def close(self) -> None:
        """Closes the netlink sockets."""
        self._ip.close()
        self._addresses.close()
        self._changes.close()


def _refused(op: str, holding: Holding, error: Exception) -> AddressRefused:
    return AddressRefused(f"{op} {holding.address} on {holding.interface}: {error}")


def _raise_first(refused: Mapping[Holding, AddressRefused]) -> None:
    for error in refused.values():
        raise error
