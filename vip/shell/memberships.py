"""What a new word of the agent means to the engine: pure."""

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import ip_address

from outgate.api.view import IPAddress
from outgate.vip.engine.events import Event, FitnessChanged, GatewayGone, Membership
from outgate.vip.errors import PeerGone
from outgate.vip.protocol import Group, Word


@lru_cache(maxsize=65536)
def parse(text: str) -> IPAddress:
    """The address. Raises PeerGone if it is none.

    Each word repeats the last one's addresses, thousands of them, and heartbeats wait meanwhile.
    """
    try:
        return ip_address(text)
    except ValueError as error:
        raise PeerGone(f"not a message: {error}") from error


def addresses_of(group: Group) -> frozenset[IPAddress]:
    """The group's addresses. Raises PeerGone if one is none."""
    return frozenset(map(parse, group.addresses))


def membership(group: Group) -> Membership:
    """As the engine hears of it. Raises PeerGone if an address is none."""
    return Membership(
        group.gateway,
        addresses_of(group),
        frozenset(group.members),
        frozenset(group.eligible),
        group.failback,
    )


def news(before: Word | None, word: Word) -> Iterator[Event]:
    """What the engine has to hear, for it to know what the word says. Raises PeerGone."""
    known = {} if before is None else {group.gateway: group for group in before.groups}
    for group in word.groups:
        old = known.pop(group.gateway, None)
        told = membership(group)
        if old is None or membership(old) != told:
            yield told
        if (old is not None and old.unfit != "") != (group.unfit != ""):
            yield FitnessChanged(group.gateway, group.unfit == "")
    for gateway in sorted(known):
        yield GatewayGone(gateway)
