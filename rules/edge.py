"""What stands between a planned ruleset and the kernel: three methods, and two that have them."""

from typing import Protocol

from outgate.rules.model import Ruleset, Transaction


class Kernel(Protocol):
    """nftables, as far as our tables go: the real one, or the fake."""

    def touched(self) -> bool:
        """Whether anything may have been changed by others since this was last asked. Cheap."""
        ...

    def observe(self) -> Ruleset | None:
        """Our tables as they are; None if there is no `inet` table of ours."""
        ...

    def apply(self, transaction: Transaction) -> None:
        """Each stage all or nothing; KernelRefused at the first that the kernel does not take."""
        ...
