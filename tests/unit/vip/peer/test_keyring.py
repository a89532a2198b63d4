"""A mounted Secret that changes."""

from collections.abc import Mapping
from pathlib import Path

from outgate.vip.peer.keyring import Keyring

FIRST = {"one": b"1" * 16, "active": b"one"}
SECOND = {"one": b"1" * 16, "two": b"2" * 16, "active": b"one two"}


def swap(mount: Path, version: str, files: Mapping[str, bytes]) -> None:
    """As kubelet does it: a new directory, a symlink moved over the old one."""
    (mount / version).mkdir(parents=True)
    for name, content in files.items():
        (mount / version / name).write_bytes(content)
        link = mount / name
        if not link.is_symlink():
            link.symlink_to(Path("..data", name))
    (mount / "..tmp").symlink_to(version)
    (mount / "..tmp").rename(mount / "..data")


def test_keys_are_read_again_when_the_secret_is_swapped(tmp_path: Path) -> None:
    swap(tmp_path, "..2026_1", FIRST)
    ring = Keyring(tmp_path)
    assert ring.refresh()
    assert ring.keys.names == ("one",)
    assert not ring.refresh()
    swap(tmp_path, "..2026_2", SECOND)
    assert ring.refresh()
    assert [key.name for key in ring.keys.active] == ["one", "two"]


def test_a_plain_directory_works_as_well(tmp_path: Path) -> None:
    for name, content in FIRST.items():
        (tmp_path / name).write_bytes(content)
    ring = Keyring(tmp_path)
    assert ring.refresh()
    (tmp_path / "two").write_bytes(b"2" * 16)
    assert ring.refresh()
    assert ring.keys.names == ("one", "two")


def test_bad_content_leaves_the_keys_and_says_why_until_it_is_good(tmp_path: Path) -> None:
    swap(tmp_path, "..2026_1", FIRST)
    ring = Keyring(tmp_path)
    ring.refresh()
    good = ring.keys
    swap(tmp_path, "..2026_2", {"one": b"short", "active": b"one"})
    assert ring.refresh()
    assert ring.keys is good
    assert "one: a key has at least 16 bytes" in ring.error
    assert not ring.refresh()
    swap(tmp_path, "..2026_3", SECOND)
    assert ring.refresh()
    assert ring.error == ""
    assert ring.keys.names == ("one", "two")


def test_without_a_secret_there_are_no_keys_and_it_says_so(tmp_path: Path) -> None:
    ring = Keyring(tmp_path / "absent")
    assert ring.refresh()
    assert ring.keys.names == ()
    assert "absent" in ring.error
