"""The number of this process on disk: greater than that of any before, wherever the clock was set.

Other nodes believe nothing that comes with a lesser number than the last one they have heard: it
may be an old word that somebody sends again.
"""

from pathlib import Path

import structlog

from outgate.daemon.files import replace_content

log = structlog.get_logger()

PATH = Path("/run/outgate/vip-boot")
"""In memory: after a boot of the node, the clock alone decides, and it has been away for longer
than clocks are set back by."""

FARTHEST = 1 << 62
"""No number of a process of ours: 64 bits go over the wire."""


class BootFile:
    """What can't be read counts as no process before."""

    def __init__(self, path: Path = PATH) -> None:
        self._path = path

    def next(self, *, clock: int) -> int:
        """The number of the process that asks: the clock's, or more. It is kept for the next one.

        clock: Unix time in ms. A disk that takes nothing is no reason not to start.
        """
        boot = max(clock, self._last() + 1)
        try:
            replace_content(self._path, str(boot).encode())
        except OSError as error:
            log.warning("number of this process not kept", path=str(self._path), error=str(error))
        return boot

    def _last(self) -> int:
        try:
            last = int(self._path.read_bytes())
        except (OSError, ValueError):
            return 0
        return last if 0 <= last < FARTHEST else 0
