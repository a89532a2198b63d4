"""The kernel's links, neighbours, routes and ip rules, through pyroute2.

Of them it sees and touches only ours: the device of our name and what is on it, default routes of
our tables with our protocol, ip rules with our protocol at our priority or the one before it. The
only module that imports pyroute2, which takes half a second.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

from pyroute2 import IPRoute, netns
from pyroute2.netlink.exceptions import NetlinkError

from outgate.api.view import DataPathSettings, IPAddress
from outgate.daemon.changes import Changes
from outgate.tunnel import afspec, dumps, news
from outgate.tunnel.errors import KernelRefused
from outgate.tunnel.model import (
    Add,
    AddLink,
    Address,
    Bypass,
    ChangeLink,
    Delete,
    DeleteLink,
    FdbEntry,
    IpRule,
    Landing,
    Link,
    Mesh,
    Neighbour,
    Object,
    Operation,
    OuterRule,
    Route,
    Rule,
    Unmarked,
)
from outgate.tunnel.underlay import DefaultRoute, Host, Interface

_IFA_F_NODAD = 0x02

_T = TypeVar("_T")


class MeshKernel:
    """The edge to netlink; see `outgate.tunnel.edge.Kernel`. One thread at a time.

    It works in the network namespace of the calling thread, or in the one bound at `namespace`.
    """

    def __init__(self, settings: DataPathSettings, *, namespace: Path | None = None) -> None:
        self._settings = settings
        self._namespace = namespace
        self._changes: Changes | None = None
        self._index_known = 0  # of our device, while operations are applied
        self._index_seen = 0  # of our device when it was last observed; 0: there was none

    def touched(self) -> bool:
        """Whether anything of ours may have changed since this was last asked, by us or others."""
        try:
            if self._changes is None:
                self._changes = self._inside(lambda: Changes(news.GROUPS))
                return True
            return self._changes.any(self._concerns)
        except OSError as error:
            raise KernelRefused("changes", "hear of", str(error)) from error

    def _concerns(self, kind: int, body: bytes) -> bool:
        settings = self._settings
        return news.concerns(
            kind,
            body,
            index=self._index_seen,
            device=settings.device,
            protocol=settings.route_protocol,
        )

    def observe(self) -> Mesh:
        """What there is of ours; an empty mesh if there is nothing."""
        with self._open() as netlink:
            objects: set[Object] = set(self._rules(netlink))
            device = self._device(netlink)
            if device is None:
                self._index_seen = 0
                return Mesh(None, frozenset(objects))
            self._index_seen = index = device["index"]
            objects.update(dumps.addresses(netlink, index))
            objects.update(dumps.neighbours(netlink, index))
            objects.update(dumps.forwarding(netlink, index))
            objects.update(self._routes(netlink, index))
            return Mesh(dumps.link(device), frozenset(objects))

    def apply(self, operations: Iterable[Operation]) -> None:
        """One after the other; at the first that the kernel does not take, KernelRefused."""
        self._index_known = 0
        with self._open() as netlink:
            for operation in operations:
                try:
                    self._perform(netlink, operation)
                except (NetlinkError, OSError) as error:
                    raise _refused(operation, error) from error

    def cleanup(self) -> None:
        """Remove all that is ours, whoever made it, and only that."""
        observed = self.observe()
        rules: list[Operation] = [
            Delete(each) for each in observed.objects if isinstance(each, IpRule)
        ]
        self.apply(rules)
        if observed.link:
            self.apply([DeleteLink(observed.link.name)])

    def host(self) -> Host:
        """What `outgate.tunnel.underlay.choose` needs to know of this node."""
        with self._open() as netlink:
            names = {link["index"]: link for link in netlink.get_links()}
            addresses: dict[int, list[IPAddress]] = {index: [] for index in names}
            for found in netlink.get_addr():
                if dumps.is_usable(found, protocol=self._settings.route_protocol):
                    text = found.get_attr("IFA_LOCAL") or found.get_attr("IFA_ADDRESS")
                    addresses[found["index"]].append(ip_address(text))
            interfaces = tuple(
                Interface(
                    link.get_attr("IFLA_IFNAME"),
                    link.get_attr("IFLA_MTU"),
                    tuple(addresses[index]),
                )
                for index, link in names.items()
                if link.get_attr("IFLA_IFNAME") != self._settings.device
            )
            routes = tuple(
                DefaultRoute(names[out].get_attr("IFLA_IFNAME"), version, metric)
                for version, out, metric in dumps.default_routes(netlink)
                if out in names
            )
        return Host(interfaces, routes)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        # Opened for each pass: kept across threads, it would leak a descriptor for each of them.
        where = {"netns": str(self._namespace)} if self._namespace else {}
        with IPRoute(strict_check=True, **where) as netlink:
            yield netlink

    def _device(self, netlink: Any) -> Any | None:
        indexes = netlink.link_lookup(ifname=self._settings.device)
        return next(iter(netlink.get_links(indexes[0])), None) if indexes else None

    def _index(self, netlink: Any) -> int:
        """Of our device; asked for once in an `apply`, since that is half of what a peer costs."""
        if not self._index_known:
            indexes = netlink.link_lookup(ifname=self._settings.device)
            if not indexes:
                raise OSError(f"no device {self._settings.device}")
            self._index_known = int(indexes[0])
        return self._index_known

    def _routes(self, netlink: Any, index: int) -> Iterator[Route]:
        tables = self._tables()
        for family, _ in dumps.FAMILIES:
            for found in netlink.get_routes(family=family, proto=self._settings.route_protocol):
                table, gateway = found.get_attr("RTA_TABLE"), found.get_attr("RTA_GATEWAY")
                ours = found.get_attr("RTA_OIF") == index and table in tables
                if ours and gateway and found["dst_len"] == 0:
                    yield Route(table, ip_address(gateway))

    def _tables(self) -> range:
        settings = self._settings
        highest = settings.mark_mask // (settings.mark_mask & -settings.mark_mask)
        return range(settings.table_base, settings.table_base + highest + 1)

    def _rules(self, netlink: Any) -> Iterator[IpRule]:
        priority = self._settings.rule_priority
        for family, version in dumps.FAMILIES:
            for found in netlink.get_rules(family=family):
                if found.get_attr("FRA_PROTOCOL") != self._settings.route_protocol:
                    continue
                if found.get_attr("FRA_PRIORITY") == priority:
                    mark, mask = found.get_attr("FRA_FWMARK"), found.get_attr("FRA_FWMASK")
                    yield Rule(version, mark or 0, mask or 0, found.get_attr("FRA_TABLE"))
                if found.get_attr("FRA_PRIORITY") == priority - 1:
                    first_port, _, _ = (found.get_attr("FRA_DPORT_RANGE") or "0").partition(":")
                    yield OuterRule(version, int(first_port))
                if found.get_attr("FRA_PRIORITY") == priority - 2:
                    device, mask = found.get_attr("FRA_IIFNAME"), found.get_attr("FRA_FWMASK")
                    yield Bypass(version, device) if device else Unmarked(version, mask or 0)
                if found.get_attr("FRA_PRIORITY") == priority + 1:
                    yield Landing(version)

    def _perform(self, netlink: Any, operation: Operation) -> None:
        match operation:
            case AddLink(link):
                netlink.link(
                    "add",
                    ifname=link.name,
                    kind="vxlan",
                    vxlan_id=link.vni,
                    vxlan_port=link.port,
                    **{
                        "vxlan_local" if link.local.version == 4 else "vxlan_local6": str(
                            link.local
                        )
                    },
                    vxlan_gbp=link.gbp,
                    vxlan_learning=int(link.learning),
                    address=link.mac,
                    mtu=link.mtu,
                    group=link.group,
                )
                self._configure(netlink, link)
            case ChangeLink(link):
                self._configure(netlink, link)
            case DeleteLink():
                netlink.link("del", index=self._index(netlink))
                self._index_known = 0
            case Add(object_):
                self._command(netlink, "add", object_)
            case Delete(object_):
                self._command(netlink, "del", object_)

    def _configure(self, netlink: Any, link: Link) -> None:
        """Per-family settings first: a link-local address comes at the moment of going up."""
        device = next(iter(netlink.get_links(self._index(netlink))))
        family = device.get_nested("IFLA_AF_SPEC", "AF_INET6")
        mode = afspec.ADDR_GEN_EUI64 if link.link_local else afspec.ADDR_GEN_NONE
        request = afspec.message(
            device["index"],
            rp_filter=link.rp_filter,
            addr_gen_mode=None if family is None else mode,
        )
        with self._channel() as channel:
            afspec.send(channel, request)
        # Setting a MAC, even the same one, makes the kernel forget the device's neighbours.
        mac = {} if device.get_attr("IFLA_ADDRESS") == link.mac else {"address": link.mac}
        netlink.link(
            "set",
            index=device["index"],
            mtu=link.mtu,
            group=link.group,
            state="up" if link.up else "down",
            **mac,
        )

    def _command(self, netlink: Any, verb: str, object_: Object) -> None:
        match object_:
            case Rule(version, mark, mask, table):
                netlink.rule(
                    verb,
                    family=_family(version),
                    fwmark=mark,
                    fwmask=mask,
                    table=table,
                    priority=self._settings.rule_priority,
                    protocol=self._settings.route_protocol,
                )
            case OuterRule(version, port):
                netlink.rule(
                    verb,
                    family=_family(version),
                    iifname="lo",
                    ip_proto=socket.IPPROTO_UDP,
                    dport_range=f"{port}:{port}",
                    table=dumps.MAIN_TABLE,
                    priority=self._settings.rule_priority - 1,
                    protocol=self._settings.route_protocol,
                )
            case Landing(version):
                netlink.rule(
                    verb,
                    family=_family(version),
                    action="nop",
                    priority=self._settings.rule_priority + 1,
                    protocol=self._settings.route_protocol,
                )
            case Bypass(version, device):
                netlink.rule(
                    verb,
                    family=_family(version),
                    iifname=device,
                    action="goto",
                    goto=self._settings.rule_priority + 1,
                    priority=self._settings.rule_priority - 2,
                    protocol=self._settings.route_protocol,
                )
            case Unmarked(version, mask):
                netlink.rule(
                    verb,
                    family=_family(version),
                    fwmark=0,
                    fwmask=mask,
                    action="goto",
                    goto=self._settings.rule_priority + 1,
                    priority=self._settings.rule_priority - 2,
                    protocol=self._settings.route_protocol,
                )
            case Route(table, gateway):
                netlink.route(
                    verb,
                    family=_family(gateway.version),
                    dst="default",
                    gateway=str(gateway),
                    oif=self._index(netlink),
                    table=table,
                    proto=self._settings.route_protocol,
                    flags=["onlink"],
                )
            case _:
                _command_on_link(netlink, verb, object_, index=self._index(netlink))

    def _channel(self) -> socket.socket:
        """A bare netlink socket of the same namespace."""
        return self._inside(_netlink_socket)

    def _inside(self, make: Callable[[], _T]) -> _T:
        """What it makes in the namespace: a socket stays in the one it was made in."""
        if self._namespace is None:
            return make()
        namespace = str(self._namespace)
        made: list[_T] = []

        def enter() -> None:
            netns.setns(namespace)
            made.append(make())

        # A thread of its own: the caller's stays where it is.
        thread = threading.Thread(target=enter, name=f"netlink in {self._namespace.name}")
        thread.start()
        thread.join()
        if not made:
            raise OSError(f"no netlink socket in {namespace}")
        return made[0]


def _netlink_socket() -> socket.socket:
    channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC)
    channel.connect((0, 0))
    return channel


def _command_on_link(
    netlink: Any, verb: str, object_: Address | Neighbour | FdbEntry, *, index: int
) -> None:
    match object_:
        case Address(address):
            v6 = address.version == 6
            netlink.addr(
                verb,
                index=index,
                family=_family(address.version),
                address=str(address),
                prefixlen=address.max_prefixlen,
                **({"flags": _IFA_F_NODAD} if v6 else {}),
            )
        case Neighbour(address, mac):
            netlink.neigh(
                verb,
                ifindex=index,
                family=_family(address.version),
                dst=str(address),
                **({"lladdr": mac, "state": "permanent"} if verb == "add" else {}),
            )
        case FdbEntry(mac, underlay):
            netlink.fdb(verb, ifindex=index, lladdr=mac, dst=str(underlay))


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _refused(operation: Operation, error: NetlinkError | OSError) -> KernelRefused:
    match operation:
        case AddLink(link):
            op, object_ = "add", str(link)
        case ChangeLink(link):
            op, object_ = "change", str(link)
        case DeleteLink(name):
            op, object_ = "delete", name
        case Add(each):
            op, object_ = "add", str(each)
        case Delete(each):
            op, object_ = "delete", str(each)
    message = os.strerror(error.code) if isinstance(error, NetlinkError) else str(error)
    return KernelRefused(object_, op, message)
