"""Which counters have come before: each one counts once. Pure. RFC 4303 §3.4.3, RFC 6479."""

SIZE = 1024
"""How far behind the newest a counter may be: a member says some 20 a second to each other one,
and a `Say` of 16,384 addresses at once is at most some 300."""

_ALL = (1 << SIZE) - 1


class Window:
    """The newest counter, and which of those before it came: bit n is the one n before."""

    __slots__ = ("_came", "newest")

    def __init__(self) -> None:
        self.newest = 0
        self._came = 0

    def take(self, counter: int) -> bool:
        """Whether the counter is new; from now on it isn't. Counters begin at 1."""
        ahead = counter - self.newest
        if ahead > 0:
            self._came = ((self._came << ahead) | 1) & _ALL if ahead < SIZE else 1
            self.newest = counter
            return True
        if -ahead >= SIZE or counter < 1:
            return False
        bit = 1 << -ahead
        if self._came & bit:
            return False
        self._came |= bit
        return True
