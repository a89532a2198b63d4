"""What the fake API server was asked, and which of its requests are to fail."""

from dataclasses import dataclass

from outgate.kube.errors import ApiError

WRITES = frozenset({"create", "replace", "apply", "delete"})


@dataclass(frozen=True, slots=True)
class Call:
    """A request that the fake was asked, granted or not."""

    method: str
    kind: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def writes(self) -> bool:
        """Whether it is one that may change something."""
        return self.method in WRITES


@dataclass(slots=True)
class Failure:
    """A failure to come: after `skip` calls of the method, for so many `times`.

    `method` may be `*` (any) or `write` (any that writes). `lost`: the request is granted, and
    only the answer is lost.
    """

    method: str
    error: ApiError
    skip: int
    times: int
    lost: bool

    def strikes(self, call: Call) -> bool:
        """Whether this call is one to fail; counts it."""
        concerned = self.method in ("*", call.method) or (self.method == "write" and call.writes)
        if self.times == 0 or not concerned:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True
