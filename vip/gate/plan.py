"""What each word about the gate means as changes of elements. Pure.

An address is written where packets are compared with it: an IPv4 address in both tables, an IPv6
address twice in one, for itself and as the target of ND (`outgate.vip.gate.rules`).
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from outgate.api.view import IPAddress
from outgate.vip.gate.frames import FUSE, fuse_key, lease_key
from outgate.vip.gate.model import Change, Element, Family, Verb
from outgate.vip.gate.rules import chain

SHORTEST = 10
"""Milliseconds that an element may live at least: a jiffy of a kernel with HZ=100. What is less
counts as none there, and an element without a timeout lives for ever."""

_SETS: Mapping[int, tuple[tuple[Family, str], ...]] = {
    4: ((Family.ARP, "{}4"), (Family.INET, "{}4")),
    6: ((Family.INET, "{}6"), (Family.INET, "{}_nd6")),
}


def manage(addresses: Iterable[IPAddress]) -> tuple[Change, ...]:
    """The addresses are dropped wherever nothing else is said."""
    return tuple(_each(Verb.ADD, "managed", addresses))


def unmanage(addresses: Iterable[IPAddress]) -> tuple[Change, ...]:
    """The gate knows them no longer, and lets them pass. They have to be managed now."""
    return tuple(_each(Verb.DELETE, "managed", addresses))


def own(number: int, addresses: Iterable[IPAddress]) -> tuple[Change, ...]:
    """The addresses live by the lease of this gateway. They must not be owned now."""
    return tuple(_each(Verb.ADD, "owned", addresses, goto=chain(number)))


def disown(addresses: Iterable[IPAddress]) -> tuple[Change, ...]:
    """They live by no lease any more. They have to be owned now."""
    return tuple(_each(Verb.DELETE, "owned", addresses))


def pass_on(addresses: Iterable[IPAddress], *, timeout: int) -> tuple[Change, ...]:
    """Packets of these addresses pass for so long (ms), though nothing is answered for them."""
    return tuple(
        Change(Verb.ADD, Family.INET, name, elements)
        for name, elements in _by_version("passing", addresses, timeout=timeout)
    )


def fuse(number: int) -> tuple[Change, ...]:
    """Lit before the clock is read; see `lease`. number: another one each time."""
    element = Element(fuse_key(number), timeout=FUSE)
    return (Change(Verb.ADD, Family.INET, "fuse", (element,)),)


def lease(number: int, *, timeout: int, fuse: int) -> tuple[Change, ...]:
    """The gateway gets a lease that runs out in `timeout` ms, whatever it had.

    A process may be stopped between reading the clock and the transaction, and a timeout counts
    from the transaction. So it lights a fuse, reads the clock, and then the transaction takes the
    fuse away: the kernel refuses that, once it has burnt down. With FUSE taken off the timeout no
    lease outlasts what was meant, but for a jiffy.
    """
    element = Element(lease_key(number), timeout=timeout)
    return (
        Change(Verb.DELETE, Family.INET, "fuse", (Element(fuse_key(fuse)),)),
        *end(number),
        *(Change(Verb.ADD, family, "alive", (element,)) for family in Family),
    )


def end(number: int) -> tuple[Change, ...]:
    """The lease of the gateway is over, if there was any."""
    # What isn't there can't be deleted, so it is added first, which changes nothing if it is.
    element = Element(lease_key(number), timeout=SHORTEST)
    return tuple(
        Change(verb, family, "alive", (element,))
        for family in Family
        for verb in (Verb.ADD, Verb.DELETE)
    )


def stop_passing() -> tuple[Change, ...]:
    """Nothing is passed on any more."""
    return tuple(Change(Verb.FLUSH, Family.INET, name) for name in ("passing4", "passing6"))


def timeout(until: float, *, now: float) -> int:
    """Milliseconds to give a lease that may live until then; 0: it is too late for any."""
    left = int((until - now) * 1000) - FUSE
    return left if left >= SHORTEST else 0


def _each(
    verb: Verb, what: str, addresses: Iterable[IPAddress], *, goto: str = ""
) -> Iterator[Change]:
    for version, some in _versions(addresses):
        elements = tuple(Element(address.packed, goto) for address in some)
        for family, name in _SETS[version]:
            yield Change(verb, family, name.format(what), elements)


def _by_version(
    what: str, addresses: Iterable[IPAddress], *, timeout: int
) -> Iterator[tuple[str, tuple[Element, ...]]]:
    for version, some in _versions(addresses):
        yield (
            f"{what}{version}",
            tuple(Element(address.packed, timeout=timeout) for address in some),
        )


def _versions(addresses: Iterable[IPAddress]) -> Iterator[tuple[int, list[IPAddress]]]:
    ordered = sorted(addresses, key=lambda address: (address.version, int(address)))
    for version, some in groupby(ordered, key=lambda address: address.version):
        yield version, list(some)
