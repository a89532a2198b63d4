"""The node's addresses, by netlink: only those that carry our IFA_PROTO are ever removed.

pyroute2 is imported with this module (0.4 s, 20 MB), so this module is imported late: see
`outgate.vip.glance`, which tells without it whether there is anything to adopt.
"""

import errno
import socket
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, ip_interface
from types import TracebackType
from typing import Any, Self

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from outgate.daemon.changes import Changes, Group
from outgate.vip.errors import AddressRefused
from outgate.vip.model import ADDRESS_PROTOCOL, Holding, Link, Observed

ARPHRD_ETHER = 1  # linux/if_arp.h: links without MACs can't announce
IFF_UP_AND_CARRIER = 0x1 | 0x10000  # linux/if.h: IFF_UP, IFF_LOWER_UP
IFA_F_NODAD = 0x02  # linux/if_addr.h: ours by decision, not by asking the segment for a second
IFA_F_NOPREFIXROUTE = 0x200  # no route of ours besides the address

_GONE = frozenset((errno.EADDRNOTAVAIL, errno.ENODEV))


class AddressKernel:
    """Observes and changes the addresses of its thread's network namespace (needs CAP_NET_ADMIN).

    For one thread. Linux 5.18 is the oldest that keeps IFA_PROTO: without it what was added would
    not be known as ours again, so the first address added is read back.
    """

    def __init__(self) -> None:
        self._ip = IPRoute()
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
            addresses = [(m["index"], _address(m), m.get("proto")) for m in self._ip.get_addr()]
        except (NetlinkError, OSError) as error:
            raise AddressRefused(f"list links and addresses: {error}") from error
        names = {index: str(link.get("ifname")) for index, link in links.items()}
        ours = [(i, a) for i, a, protocol in addresses if protocol == ADDRESS_PROTOCOL]
        others = [(i, a) for i, a, protocol in addresses if protocol != ADDRESS_PROTOCOL]
        return Observed(
            owned=frozenset(Holding(a.ip, names[i]) for i, a in ours if i in names),
            foreign=frozenset(Holding(a.ip, names.get(i, str(i))) for i, a in others),
            links=frozenset(
                Link(
                    name=names[index],
                    mac=str(link.get("address")),
                    up=link["flags"] & IFF_UP_AND_CARRIER == IFF_UP_AND_CARRIER,
                    connected=frozenset(
                        a.network
                        for i, a in others
                        if i == index and a.network.num_addresses > 1 and not a.is_link_local
                    ),
                )
                for index, link in links.items()
            ),
        )

    def add(self, holding: Holding) -> None:
        """Puts the address on the link, as a whole prefix of its own; there already is fine.

        Deprecated from the start (preferred lifetime 0), so that the node never takes it as the
        source of a connection of its own. Raises AddressRefused.
        """
        v4 = isinstance(holding.address, IPv4Address)
        try:
            self._ip.addr(
                "add",
                index=self._index(holding.interface),
                family=socket.AF_INET if v4 else socket.AF_INET6,
                address=str(holding.address),
                prefixlen=holding.address.max_prefixlen,
                flags=0 if v4 else IFA_F_NODAD | IFA_F_NOPREFIXROUTE,
                proto=ADDRESS_PROTOCOL,
                preferred_lft=0,
            )
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise _refused("add", holding, error) from error
        except OSError as error:
            raise _refused("add", holding, error) from error
        if not self._proven and holding not in self.observe().owned:
            raise AddressRefused(
                f"add {holding.address} to {holding.interface}: the kernel forgets whose address "
                f"it is (IFA_PROTO); Linux 5.18 or later is needed on gateway nodes"
            )
        self._proven = True

    def remove(self, holding: Holding) -> None:
        """Takes our address off the link; gone already is fine. Raises AddressRefused."""
        try:
            self._ip.addr(
                "del",
                index=self._index(holding.interface),
                address=str(holding.address),
                prefixlen=holding.address.max_prefixlen,
            )
        except NetlinkError as error:
            if error.code not in _GONE:
                raise _refused("remove", holding, error) from error
        except OSError as error:
            raise _refused("remove", holding, error) from error

    def _index(self, interface: str) -> int:
        found = self._ip.link_lookup(ifname=interface)
        if not found:
            raise NetlinkError(errno.ENODEV, f"no link {interface}")
        return int(found[0])

    def close(self) -> None:
        """Closes the netlink sockets."""
        self._ip.close()
        self._changes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _address(message: Any) -> IPv4Interface | IPv6Interface:
    # With a peer, IFA_ADDRESS is the far end: IFA_LOCAL is ours then.
    text = message.get("local") or message.get("address")
    return ip_interface(f"{text}/{message['prefixlen']}")


def _refused(op: str, holding: Holding, error: Exception) -> AddressRefused:
    return AddressRefused(f"{op} {holding.address} on {holding.interface}: {error}")
