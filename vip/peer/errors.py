"""The ways in which talking to other nodes fails."""

from enum import Enum

from outgate.vip.errors import VipError


class KeysBad(VipError):
    """The Secret has no usable keys; the message names the file and what would be right."""


class SocketRefused(VipError):
    """The socket could not be made; the message names address and port."""


class Refusal(Enum):
    """Why a datagram was not believed: the values are a metric's labels.

    STRANGER: from no node's address. MALFORMED: not of our form, or too short. SENDER: names
    another node than the one that has this address. RECEIVER: meant for another node.
    UNKNOWN_KEY: none of its keys is known here. FORGED: a proof is wrong. OLD_BOOT: from an
    earlier life of its sender. UNPROVEN: meant for an earlier life of this process, or for
    nobody in particular; its sender is told. REPLAYED: came before, or is too old to tell.
    """

    STRANGER = "stranger"
    MALFORMED = "malformed"
    SENDER = "sender"
    RECEIVER = "receiver"
    UNKNOWN_KEY = "unknown_key"
    FORGED = "forged"
    OLD_BOOT = "old_boot"
    UNPROVEN = "unproven"
    REPLAYED = "replayed"


class Refused(VipError):
    """A datagram was not believed."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(why.value)
        self.why = why
