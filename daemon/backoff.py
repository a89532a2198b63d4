"""How long to wait before trying again: exponential, capped, spread by jitter."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits in seconds: `first`, doubled for each further failure up to `most`.

    `jitter` is the share by which a wait may be longer or shorter, so that clients that failed
    together don't come back together.
    """

    first: float = 0.5
    most: float = 30.0
    jitter: float = 0.3

    def wait(self, failures: int, *, spread: float | None = None) -> float:
        """Seconds to wait after the given number of failures in a row (1 or more).

        `spread` in 0..1 says where in the jitter's range; drawn at random if it is not given.
        """
        if failures < 1:
            return 0.0
        where = random.random() if spread is None else spread
        # The exponent is capped too: 2 ** 10_000 does not fit a float.
        plain = min(self.most, self.first * 2.0 ** min(failures - 1, 32))
        return plain * (1 + self.jitter * (2 * where - 1))
