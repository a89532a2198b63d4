"""Which eligible node stands for the gateway nodes' own addresses: rendezvous hashing. Pure.

Only `useNodeIP` is assigned here: nobody on the segment is asked who has a node's own address, so
nobody has to claim it. Who holds an egress IP is decided by the gateway nodes themselves
(`outgate.vip.engine`), by the same weights, and read in `outgate.controller.holding`.
"""

from collections.abc import Collection
from functools import lru_cache

from outgate.api.rendezvous import weight


def assign(*, gateway: str, eligible: Collection[str], before: str) -> str:
    """The node that serves with its own address; "" of no nodes. One that is eligible stays."""
    if before in eligible:
        return before
    return heir(gateway, "", tuple(sorted(set(eligible))))


@lru_cache(maxsize=1024)
def heir(gateway: str, address: str, nodes: tuple[str, ...]) -> str:
    """The node of the highest rendezvous weight for the address; "" of no nodes."""
    return max(nodes, key=lambda node: (weight(gateway, address, node), node), default="")
