"""The operations that turn one mesh into another, in an order that is safe to be cut short.

What is used comes before what uses it: device, forwarding entries, neighbours, addresses, routes,
ip rules. Removal is the reverse. After any prefix of the operations, a new diff does the rest.
"""

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
    Mesh,
    Neighbour,
    Object,
    Operation,
    OuterRule,
    Route,
    Rule,
    Unmarked,
)

_ORDER: dict[type[Object], int] = {
    FdbEntry: 0,
    Neighbour: 1,
    Address: 2,
    Route: 3,
    OuterRule: 4,
    Landing: 5,
    Bypass: 6,
    Unmarked: 7,
    Rule: 8,
}


def diff(observed: Mesh, desired: Mesh) -> tuple[Operation, ...]:
    """Deletions before additions, since a key (a MAC, an address, a table) may be in both.

    A device with other fixed parameters is made anew, and all that hangs on it with it.
    """
    operations: list[Operation] = []
    have, want = observed.objects, desired.objects
    if observed.link and (not desired.link or observed.link.fixed != desired.link.fixed):
        gone = frozenset(each for each in have if not isinstance(each, IpRule))
        operations += _deletions((have - gone) - want)
        operations.append(DeleteLink(observed.link.name))
        have -= gone
    else:
        operations += _deletions(have - want)
    if desired.link:
        if observed.link is None or observed.link.fixed != desired.link.fixed:
            operations.append(AddLink(desired.link))
        elif observed.link != desired.link:
            operations.append(ChangeLink(desired.link))
            if observed.link.mac != desired.link.mac:
                # The kernel forgets the neighbours of a device whose address changes.
                have = frozenset(each for each in have if not isinstance(each, Neighbour))
    operations += (Add(each) for each in sorted(want - have, key=sort_key))
    return tuple(operations)


def sort_key(object_: Object) -> tuple[int, str]:
    """In the order in which objects are added."""
    return _ORDER[type(object_)], repr(object_)


def _deletions(objects: frozenset[Object]) -> list[Operation]:
    return [Delete(each) for each in sorted(objects, key=sort_key, reverse=True)]
