"""A kernel's mesh in memory, which refuses what the kernel refuses."""

from collections.abc import Iterable

from outgate.api.view import IPAddress
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


class FakeKernel:
    """The methods of the edge, on a set."""

    def __init__(self) -> None:
        self._link: Link | None = None
        self._objects: set[Object] = set()

    def touched(self) -> bool:
        """See `Kernel`. It does not know who writes to it, so: perhaps."""
        return True

    def observe(self) -> Mesh:
        """See `Kernel`."""
        return Mesh(self._link, frozenset(self._objects))

    def apply(self, operations: Iterable[Operation]) -> None:
        """See `Kernel`."""
        for operation in operations:
            self._perform(operation)

    def _perform(self, operation: Operation) -> None:
        match operation:
            case AddLink(link):
                _need(self._link is None, "add", link, "exists")
                self._link = link
            case ChangeLink(link):
                _need(self._link is not None, "change", link, "does not exist")
                _need(
                    self._link is not None and self._link.fixed == link.fixed,
                    "change",
                    link,
                    "has other fixed parameters",
                )
                if self._link and self._link.mac != link.mac:
                    self._objects = {
                        each for each in self._objects if not isinstance(each, Neighbour)
                    }
                self._link = link
            case DeleteLink(name):
                _need(
                    self._link is not None and self._link.name == name,
                    "delete",
                    name,
                    "does not exist",
                )
                self._link = None
                self._objects = {each for each in self._objects if isinstance(each, IpRule)}
            case Add(object_):
                self._add(object_)
            case Delete(object_):
                _need(object_ in self._objects, "delete", object_, "does not exist")
                self._objects.remove(object_)

    def _add(self, object_: Object) -> None:
        _need(
            isinstance(object_, IpRule) or self._link is not None,
            "add",
            object_,
            "no such device",
        )
        keys = {_key(each) for each in self._objects}
        _need(_key(object_) not in keys, "add", object_, "exists")
        self._objects.add(object_)


def _key(object_: Object) -> tuple[type[Object], object]:
    """What the kernel tells two objects of a sort apart by."""
    key: IPAddress | tuple[object, ...]
    match object_:
        case Address(address) | Neighbour(address):
            key = address
        case FdbEntry(mac):
            key = (mac,)
        case Route(table, gateway):
            key = (table, gateway.version)
        case OuterRule(family, port):
            key = (family, port)
        case Landing(family):
            key = (family,)
        case Bypass(family, device):
            key = (family, device)
        case Unmarked(family, mask):
            key = (family, mask)
        case Rule(family, mark, mask, table):
            key = (family, mark, mask, table)
    return type(object_), key


def _need(condition: bool, op: str, object_: object, message: str) -> None:
    if not condition:
        raise KernelRefused(str(object_), op, message)
