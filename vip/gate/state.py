"""What a restart has to know of the gate beyond what the kernel keeps: names and epochs. Pure.

The kernel has numbers of gateways, and addresses; whose number it is and by which epoch an address
was claimed stands here. Written before each claim: what lives in the kernel and is not here was
claimed by nobody who could tell, and is silenced.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

import msgspec

from outgate.api.view import IPAddress

_VERSION = 1


class _Gateway(msgspec.Struct, forbid_unknown_fields=True):
    number: int
    epochs: dict[str, int]


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    gateways: dict[str, _Gateway]


@dataclass(frozen=True, slots=True)
class Kept:
    """Of one gateway: the number of its lease in the kernel, and the epoch of each claim."""

    number: int
    epochs: Mapping[IPAddress, int] = field(default_factory=dict)


State = Mapping[str, Kept]
"""By the gateway's name."""


def encode(state: State) -> bytes:
    """As it is written."""
    gateways = {
        name: _Gateway(kept.number, {str(a): epoch for a, epoch in kept.epochs.items()})
        for name, kept in state.items()
    }
    return msgspec.json.encode(_Document(_VERSION, gateways))


def decode(data: bytes) -> State:
    """As it was; empty if it can't be read, or two gateways share a number: nothing is adopted."""
    try:
        document = msgspec.json.decode(data, type=_Document)
        state = {
            name: Kept(one.number, {ip_address(a): epoch for a, epoch in one.epochs.items()})
            for name, one in document.gateways.items()
        }
    except (msgspec.DecodeError, ValueError):
        return {}
    numbers = {kept.number for kept in state.values()}
    sound = document.version == _VERSION and len(numbers) == len(state) and min(numbers, default=1)
    return state if sound and sound > 0 else {}


def numbered(state: State, gateway: str) -> State:
    """With a number for the gateway: its own, or the least that is free."""
    if gateway in state:
        return state
    taken = {kept.number for kept in state.values()}
    number = next(n for n in range(1, len(taken) + 2) if n not in taken)
    return {**state, gateway: Kept(number)}


def claimed(state: State, gateway: str, addresses: Iterable[IPAddress], *, epoch: int) -> State:
    """With this claim; whichever gateway had the addresses before has them no longer."""
    taken = dict.fromkeys(addresses, epoch)
    rest = released(state, taken)
    kept = rest[gateway]
    return {**rest, gateway: Kept(kept.number, {**kept.epochs, **taken})}


def released(state: State, addresses: Iterable[IPAddress]) -> State:
    """Without these addresses."""
    gone = frozenset(addresses)
    return {
        name: Kept(kept.number, {a: epoch for a, epoch in kept.epochs.items() if a not in gone})
        for name, kept in state.items()
    }


def forgotten(state: State, gateway: str) -> State:
    """Without the gateway: its number is free."""
    return {name: kept for name, kept in state.items() if name != gateway}
