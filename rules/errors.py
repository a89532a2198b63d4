"""What the nftables edge raises."""


class KernelRefused(Exception):
    """The kernel did not take what it was asked; nothing of that transaction was done.

    The object that is named may not be the culprit: nft merges consecutive additions to one set
    and blames the first of them.
    """

    def __init__(self, object_: str, op: str, message: str) -> None:
        super().__init__(f"{op} {object_}: {message}")
        self.object = object_
        self.op = op
        self.message = message
