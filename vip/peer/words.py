"""What nodes say to each other besides the engine's own words."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from outgate.api.view import IPAddress
from outgate.vip.engine.words import Claim

Claims = Mapping[str, tuple[Claim, ...]]
"""By gateway, the addresses that a node holds, and since which epoch."""


class Moved(msgspec.Struct, frozen=True):
    """These addresses are at this node: of two that say so of one address, the higher epoch is.

    Not all that the node holds: what has just come to it, or, now and then, all.
    """

    node: str
    claims: Claims


class MovedHeard(msgspec.Struct, frozen=True):
    """Another node's `Moved`, whose sender was proven. The same one may come again."""

    moved: Moved


class Datagram(NamedTuple):
    """Bytes for a node's underlay address."""

    to: IPAddress
    data: bytes
