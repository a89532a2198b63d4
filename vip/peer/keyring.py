"""The keys as they are mounted: read again when the Secret changes, kept when it is bad.

Kubernetes swaps the symlink `..data` for a directory with all files of the new version; so they
are read below what it led to, all of one version. A plain directory works as well.
"""

from pathlib import Path

from outgate.vip.peer.errors import KeysBad
from outgate.vip.peer.keys import KEY_MAX, NO_KEYS, Keys, parse

DATA = "..data"

Fingerprint = tuple[tuple[str, int, int, int], ...]


class Keyring:
    """The keys in a directory.

    keys: the last good ones; none before that. error: why what is there now isn't taken, or "".
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen: Fingerprint | None = None
        self.keys: Keys = NO_KEYS
        self.error = ""

    def refresh(self) -> bool:
        """Reads again what has changed since; whether `keys` or `error` are others now.

        A few system calls if nothing has changed: ask every second or so.
        """
        before = self.keys, self.error
        try:
            version = (self._directory / DATA).resolve()
            if not version.is_dir():
                version = self._directory.resolve()
            seen = _fingerprint(version)
            if seen == self._seen:
                return False
            self.keys = parse(_read(version))
            self._seen, self.error = seen, ""
        except (KeysBad, OSError) as error:
            # Not remembered: what is half written, or swapped meanwhile, is read again.
            self._seen, self.error = None, f"keys in {self._directory}: {error}"
        return before != (self.keys, self.error)


def _files(version: Path) -> list[Path]:
    return sorted(path for path in version.iterdir() if not path.name.startswith("."))


def _fingerprint(version: Path) -> Fingerprint:
    """What a change of any file changes: names, inodes, times, sizes."""
    stats = [(str(path), path.stat()) for path in _files(version)]
    return tuple((name, s.st_ino, s.st_mtime_ns, s.st_size) for name, s in stats)


def _read(version: Path) -> dict[str, bytes]:
    found = {}
    for path in _files(version):
        with path.open("rb") as file:
            found[path.name] = file.read(KEY_MAX + 1)
    return found
