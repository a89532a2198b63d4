"""The few ways in which a hand-over fails."""

from outgate.vip.errors import VipError


class NotOurs(VipError):
    """Bytes of another node that are no message of ours; the text says where they go wrong."""


class FrameRefused(VipError):
    """An `Opener` does not believe a frame: forged, replayed, meant for another, unknown key."""


class TableRefused(VipError):
    """The kernel's flow table could not be read or written; the text names what and why."""
