"""Files that are written whole: readers, and crashes, find the old content or the new."""

from pathlib import Path


def replace_content(path: Path, content: bytes) -> None:
    """Writes the file, and its folder if need be. Raises OSError; the old content stays then.

    Not synced: it outlives the process, not the machine.
    """
    draft = path.with_name(path.name + ".new")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft.write_bytes(content)
    draft.replace(path)
