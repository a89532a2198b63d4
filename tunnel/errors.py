"""What the netlink edge raises."""


class KernelRefused(Exception):
    """The kernel did not take one operation; those before it are done, those after it are not."""

    def __init__(self, object_: str, op: str, message: str) -> None:
        super().__init__(f"{op} {object_}: {message}")
        self.object = object_
        self.op = op
        self.message = message


class NoUnderlay(Exception):
    """There is no interface that the mesh's outer packets could leave by; the message says why."""
