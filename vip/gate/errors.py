"""The ways in which the gate fails."""

from outgate.vip.errors import VipError


class GateRefused(VipError):
    """The kernel did not take, or not tell, something; the message says what."""


class Lapsed(VipError):
    """Too late: `until` is past, or the lease has run out. Nothing was done; nothing is revived."""
