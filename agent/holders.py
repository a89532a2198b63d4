"""Who holds which egress address, from what the API says and what the vip processes say: pure.

The vip processes decide; the API's status follows them, and may be minutes old while its server is
away. Each claim has an epoch, and the higher one is the later: so it does not matter who was heard
first, or by which way.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from outgate.agent.egress import EgressTable
from outgate.api.hold import Hold
from outgate.api.view import IPAddress


@dataclass(frozen=True, slots=True)
class Claims:
    """What this node's vip process says.

    own: the epoch of each address that this node holds; None as long as it has not said so. heard:
    the latest claim of another node that was heard.
    """

    own: Mapping[IPAddress, int] | None = None
    heard: Mapping[IPAddress, Hold] = field(default_factory=dict)


NOTHING_SAID = Claims()


def next_hops(egress: EgressTable, claims: Claims, *, node: str) -> Mapping[int, str]:
    """Egress id → the node to send its packets to; an id that nobody is known to hold has none.

    Ids without an address (the gateway node's own) have the one that the controller chose.
    """
    found: dict[int, str] = {}
    for id_, address in egress.addresses.items():
        said = egress.holders.get(id_)
        holder = said and said.node if address is None else _holder(said, address, claims, node)
        if holder:
            found[id_] = holder
    return found


def _holder(said: Hold | None, address: IPAddress, claims: Claims, node: str) -> str:
    known = [one for one in (said, claims.heard.get(address)) if one is not None]
    if claims.own is not None:
        # Of this node, its own process knows best: whatever else is said is old.
        known = [one for one in known if one.node != node]
        if address in claims.own:
            known.append(Hold(claims.own[address], node))
    return max(known).node if known else ""
