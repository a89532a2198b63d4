"""Egress ids as the gateways' status gives them: the id of each address, and who holds it.

Where a policy has several addresses, each pod has one of them, here chosen: by its name and uid,
not by its address, so that both families agree, and by nothing else, so that it keeps it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from outgate.api.gateway import EgressGateway
from outgate.api.hold import Hold
from outgate.api.policy import PolicyStatus
from outgate.api.rendezvous import weight
from outgate.api.view import EGRESS_ID_MAX, NO_EGRESS, IPAddress


@dataclass(frozen=True, slots=True)
class Entry:
    """Egress ids of both families that a pod leaves by; NO_EGRESS where it can't leave.

    name: what tells it from the policy's other entries, whatever their order.
    """

    egress4: int
    egress6: int
    name: str = ""

    def leads(self, version: int) -> bool:
        """Whether there is something to leave by, in that family."""
        return (self.egress4 if version == 4 else self.egress6) != NO_EGRESS


@dataclass(frozen=True, slots=True)
class EgressTable:
    """ids: (gateway, address) → egress id; no address stands for "the gateway node's own".

    holders: egress id → its holder, for those that have one. addresses: egress id → address.
    problems: entries that could not be read, and why.
    """

    ids: Mapping[tuple[str, IPAddress | None], int]
    holders: Mapping[int, Hold]
    addresses: Mapping[int, IPAddress | None]
    problems: tuple[str, ...]

    def of(self, status: PolicyStatus) -> tuple[Entry, ...]:
        """The entries of a policy, at least one; its pods are spread over them (`spread`).

        A policy that the controller has not answered yet has no gateway in its status: closed.
        One whose wish has changed since keeps what it had until the controller answers.
        """
        if status.use_node_ip:
            # Of both families: the node that holds it knows which addresses it has, and drops
            # what it has none for.
            own = self.ids.get((status.gateway, None), NO_EGRESS)
            return (Entry(own, own),)
        return tuple(
            Entry(
                self._id(status.gateway, eip.ipv4, version=4),
                self._id(status.gateway, eip.ipv6, version=6),
                eip.ipv4 or eip.ipv6,
            )
            for eip in status.every_eip()
        )

    def _id(self, gateway: str, text: str, *, version: int) -> int:
        address = address_of(text)
        if address is None or address.version != version:
            return NO_EGRESS
        return self.ids.get((gateway, address), NO_EGRESS)


def egress_table(gateways: Iterable[EgressGateway]) -> EgressTable:
    """Reads all gateways' status. An id that two addresses claim belongs to the first by name."""
    ids: dict[tuple[str, IPAddress | None], int] = {}
    holders: dict[int, Hold] = {}
    addresses: dict[int, IPAddress | None] = {}
    problems: list[str] = []
    for gateway in sorted(gateways, key=lambda one: one.metadata.name):
        name = gateway.metadata.name
        for entry in gateway.status.addresses:
            address = address_of(entry.address)
            what = f"EgressGateway {name}: address {entry.address!r}"
            if address is None and entry.address:
                problems.append(f"{what} is none")
            elif not 1 <= entry.id <= EGRESS_ID_MAX:
                problems.append(f"{what} has egress id {entry.id}")
            elif entry.id in addresses:
                problems.append(f"{what} has egress id {entry.id}, which is given already")
            else:
                ids[name, address] = entry.id
                addresses[entry.id] = address
                if entry.node:
                    holders[entry.id] = Hold(entry.epoch, entry.node)
    return EgressTable(ids, holders, addresses, tuple(problems))


@lru_cache(maxsize=65536)
def spread(pod: str, entries: tuple[Entry, ...], version: int) -> int:
    """The place of the entry that the pod called `pod` leaves by, in one family.

    By rendezvous hash: an entry more draws only its own share of pods, one less gives up only its
    own. Entries that lead nowhere take no pods while others do. IPv4 and IPv6 of a pod agree unless
    the best for one has nothing for the other.
    """
    open_ = [place for place, entry in enumerate(entries) if entry.leads(version)]
    return max(open_ or range(len(entries)), key=lambda place: weight(pod, entries[place].name))


@lru_cache(maxsize=65536)
def address_of(text: str) -> IPAddress | None:
    """The address that a text stands for; None if it is empty or malformed."""
    try:
        return ip_address(text)
    except ValueError:
        return None
