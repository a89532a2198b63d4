"""How listening to the segment fails."""

from outgate.vip.errors import VipError


class SegmentRefused(VipError):
    """A link can't be heard; the message names it."""
