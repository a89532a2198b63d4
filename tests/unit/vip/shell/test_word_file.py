"""The agent's last word on disk."""

from pathlib import Path

import msgspec
import pytest

from outgate.vip.protocol import Group, Word
from outgate.vip.shell.word_file import WordFile

WORD = Word(
    7,
    "a",
    "eth0",
    {"a": "192.0.2.1"},
    (Group("internet", "uid-1", ("203.0.113.7",), ("a", "b"), ("a",)),),
    {"203.0.113.7": 1},
)


def test_the_next_process_knows_the_word_but_answers_none(tmp_path: Path) -> None:
    path = tmp_path / "run" / "vip-word.json"
    WordFile(path).write(WORD)
    assert WordFile(path).read() == msgspec.structs.replace(WORD, seq=0)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_word_of_which_only_the_number_is_new_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "vip-word.json"
    words = WordFile(path)
    words.write(WORD)
    inode = path.stat().st_ino
    words.write(msgspec.structs.replace(WORD, seq=8))
    assert path.stat().st_ino == inode
    words.write(msgspec.structs.replace(WORD, interface="eth1"))
    last = WordFile(path).read()
    assert last is not None and last.interface == "eth1"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        msgspec.json.encode(WORD)[:-9],
        b"[]",
        b'{"type":"word"}',
        b'{"type":"report","seq":1}',
        b'{"type":"word","seq":1,"node":"a","interface":"eth0","nodes":["a"]}',
    ],
    ids=["empty", "zeros", "half", "list", "bare", "report", "wrong kind"],
)
def test_what_can_not_be_read_counts_as_nothing_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vip-word.json"
    path.write_bytes(content)
    assert WordFile(path).read() is None


def test_nor_is_there_anything_before_the_first_word(tmp_path: Path) -> None:
    assert WordFile(tmp_path / "none.json").read() is None
    assert WordFile(tmp_path).read() is None


def test_a_disk_that_takes_nothing_stops_nobody_and_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "run" / "vip-word.json"
    path.parent.touch()  # no folder: nothing can be put into it
    words = WordFile(path)
    words.write(WORD)
    path.parent.unlink()
    words.write(WORD)
    assert words.read() is not None
