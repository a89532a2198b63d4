"""The agent's last word on disk: read by the next process, should the agent be away then."""

from pathlib import Path

import msgspec
import structlog

from outgate.daemon.files import replace_content
from outgate.vip.protocol import Word

log = structlog.get_logger()

PATH = Path("/run/outgate/vip-word.json")
"""In memory: what was true before a boot is not to be trusted."""


class WordFile:
    """Whatever can't be read counts as nothing said."""

    def __init__(self, path: Path = PATH) -> None:
        self._path = path
        self._written: bytes | None = None

    def read(self) -> Word | None:
        """The last word of a former process' agent; its number is 0, so that none is answered."""
        try:
            word = msgspec.json.decode(self._path.read_bytes(), type=Word)
        except (OSError, msgspec.MsgspecError):
            return None
        return msgspec.structs.replace(word, seq=0)

    def write(self, word: Word) -> None:
        """Keeps it; a disk that takes nothing is no reason to stop."""
        data = msgspec.json.encode(msgspec.structs.replace(word, seq=0))
        if data == self._written:
            return
        try:
            replace_content(self._path, data)
        except OSError as error:
            log.warning("word not kept", path=str(self._path), error=str(error))
            return
        self._written = data
