"""The gate's state on disk: read once, written whole before each claim."""

from pathlib import Path

from outgate.daemon.files import replace_content
from outgate.vip.gate.errors import GateRefused
from outgate.vip.gate.state import State, decode, encode

PATH = Path("/run/outgate/vip-state.json")
"""In memory, and gone with a boot, as the kernel's tables are."""


class StateFile:
    """Any content that can't be read counts as none; see `outgate.vip.gate.state`."""

    def __init__(self, path: Path = PATH) -> None:
        self._path = path
        self._written: bytes | None = None

    def read(self) -> State:
        """What was written last, by this process or the one before. Raises GateRefused."""
        try:
            self._written = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise GateRefused(f"read {self._path}: {error}") from error
        return decode(self._written)

    def write(self, state: State) -> None:
        """All of it, or none: readers and crashes find the old or the new. Raises GateRefused.

        Not synced: it has to outlive the process, not the machine.
        """
        data = encode(state)
        if data == self._written:
            return
        try:
            replace_content(self._path, data)
        except OSError as error:
            raise GateRefused(f"write {self._path}: {error}") from error
        self._written = data
