"""Which eligible node holds which address: rendezvous hashing, and no needless moves. Pure."""

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b


def assign(
    addresses: Iterable[str],
    *,
    gateway: str,
    eligible: Collection[str],
    holders: Mapping[str, str],
    pairs: Mapping[str, Collection[str]],
) -> Mapping[str, str]:
    """Address → the node that holds it; "" while no node is eligible.

    A holder that is still eligible keeps its address. Else the address goes to the node that holds
    its pair (`pairs`: the same policies' addresses of the other family), so that both families of
    a policy leave by one node, else to the heir by rendezvous hash: the addresses of a lost node
    spread over all that are left. The order of `addresses` and `eligible` does not matter.
    """
    wanted = sorted(set(addresses))
    nodes = tuple(sorted(set(eligible)))
    assigned = {
        address: holders[address] for address in wanted if holders.get(address, "") in nodes
    }
    for address in wanted:
        if address in assigned:
            continue
        paired = (assigned.get(other, "") for other in sorted(pairs.get(address, ())))
        assigned[address] = next(filter(None, paired), "") or heir(gateway, address, nodes)
    return assigned


@lru_cache(maxsize=65536)
def heir(gateway: str, address: str, nodes: tuple[str, ...]) -> str:
    """The node of the highest rendezvous weight for the address; "" of no nodes."""
    return max(nodes, key=lambda node: (_weight(gateway, address, node), node), default="")


def _weight(gateway: str, address: str, node: str) -> bytes:
    return blake2b("\0".join((gateway, address, node)).encode(), digest_size=8).digest()
