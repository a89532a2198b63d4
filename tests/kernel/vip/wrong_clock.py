"""A vip process whose wall clock is wrong by what stands in a file: `wrong_clock.py FILE OPTION…`.

Not libfaketime: that of Debian 12 fakes absolute sleeps by the monotonic clock too, which fail then
(EINVAL). All that the process asks for the time of day is Python.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Number = TypeVar("Number", int, float)


def wrong(right: Callable[[], Number], file: Path, *, second: int) -> Callable[[], Number]:
    """The clock `right`, off by the file's number of seconds. second: in the clock's unit."""
    return lambda: right() + int(file.read_text()) * second


if __name__ == "__main__":
    clock = Path(sys.argv.pop(1))
    time.time = wrong(time.time, clock, second=1)
    time.time_ns = wrong(time.time_ns, clock, second=1_000_000_000)
    from outgate.vip.__main__ import main

    main()
