"""The segment: who answers for an address, who speaks for one, and whether the way back is right.

Pure, with the time as an argument: `prober` (when to ask), `conflicts` (who speaks for what is
ours), `return_path` (whether routers send an address' packets here), `spoken` and `frames` (bytes),
`filters` (what the kernel hands up). Edges: `listener` and `echoes` (sockets), `neighbours` (the
kernel's table), `edge`, which ties them for the loop. Announcing is `outgate.vip.wire`'s.

What is never seen: frames that an XDP or tc program takes before the stack. nftables takes nothing
from it: `arp` and `inet` tables come later.
"""

from outgate.vip.segment.edge import LanLink, SegmentEdge
from outgate.vip.segment.return_path import ReturnPathUnknown
from outgate.vip.segment.settings import DEFAULTS, SegmentSettings

__all__ = ["DEFAULTS", "LanLink", "ReturnPathUnknown", "SegmentEdge", "SegmentSettings"]
