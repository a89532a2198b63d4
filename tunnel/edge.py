"""What stands between a planned mesh and the kernel: three methods, and two that have them."""

from collections.abc import Iterable
from typing import Protocol

from outgate.tunnel.model import Mesh, Operation


class Kernel(Protocol):
    """Links, neighbours, routes and ip rules, as far as they are ours: the real ones, or fake."""

    def touched(self) -> bool:
        """Whether anything may have changed since this was last asked. Cheap."""
        ...

    def observe(self) -> Mesh:
        """What there is of ours; an empty mesh if there is nothing."""
        ...

    def apply(self, operations: Iterable[Operation]) -> None:
        """One after the other; at the first that the kernel does not take, KernelRefused."""
        ...
