"""What the gate's changes are made of: elements of sets, in tables of our own.

Says nothing about what they mean (`outgate.vip.gate.plan`), nor how they get into the kernel.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from outgate.api.view import IPAddress

TABLE = "outgate_vip"
"""Ours, in both families: nothing else is ever written."""


class Family(IntEnum):
    """nfnetlink's numbers (linux/netfilter.h: NFPROTO_*)."""

    INET = 1
    ARP = 3

    @property
    def word(self) -> str:
        """As nft writes it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Element:
    """One element: its key as in a packet.

    goto: the chain that a map's element leads to. timeout: milliseconds until it is gone, 0 for
    never.
    """

    key: bytes
    goto: str = ""
    timeout: int = 0


class Verb(Enum):
    """What happens to elements. ADD of what is there already is fine, DELETE of what isn't fails
    the whole transaction; FLUSH deletes all, if any."""

    ADD = "add"
    DELETE = "delete"
    FLUSH = "flush"


@dataclass(frozen=True, slots=True)
class Change:
    """One message to the kernel: elements of one set."""

    verb: Verb
    family: Family
    set: str
    elements: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """What the kernel has of ours.

    managed: gated addresses. owned: address → number of the gateway whose lease it lives by.
    alive: number → seconds that its lease still has. numbers: gateways that have a chain.
    """

    managed: frozenset[IPAddress] = frozenset()
    owned: Mapping[IPAddress, int] = field(default_factory=dict)
    alive: Mapping[int, float] = field(default_factory=dict)
    numbers: frozenset[int] = frozenset()
