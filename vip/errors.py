"""The few ways in which the LAN side fails."""


class VipError(Exception):
    """Base of the LAN side's errors."""


class AddressRefused(VipError):
    """The kernel did not take, or not give up, an address; the message names it and the link."""


class WireRefused(VipError):
    """A frame could not be sent; the message names the address and the link."""


class PeerGone(VipError):
    """The process at the other end of the Unix socket closed it, or said what is no message."""
