"""Who should hold an address: rendezvous hashing, the same on every node. Pure."""

from collections.abc import Iterable
from functools import lru_cache

from outgate.api.rendezvous import weight
from outgate.api.view import IPAddress


@lru_cache(maxsize=65536)
def ranking(gateway: str, key: str, nodes: frozenset[str]) -> tuple[str, ...]:
    """The nodes by falling weight: the first is the heir, the next would be if it were gone."""
    return tuple(sorted(nodes, key=lambda node: (weight(gateway, key, node), node), reverse=True))


def heir(gateway: str, address: IPAddress, nodes: frozenset[str]) -> str:
    """The node that should have the address; "" of no nodes."""
    return next(iter(ranking(gateway, str(address), nodes)), "")


def rank(gateway: str, key: str, nodes: Iterable[str], *, node: str) -> int:
    """The node's place in line among the nodes, from 0."""
    return ranking(gateway, key, frozenset(nodes) | {node}).index(node)
