"""The conntrack zone in which a gateway node keeps the flows of an egress id, worked out here.

The rules have the kernel choose it (rules/arriving.py: the map `zones`), so an entry that is made
for a flow must be put where its packets will look.
"""


def zone(egress_id: int) -> int:
    """The zone of an id's flows, in the original direction only: the id itself."""
    return egress_id
