"""Who has claimed an egress address, and which of two claims is right: one order for all of us."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Hold:
    """A node's claim of an address; node "": nobody has it, nor did after that epoch.

    The greater one is right: the later epoch, and of one epoch the greater name, as the engines
    settle it.
    """

    epoch: int = 0
    node: str = ""
