from pathlib import Path

import pytest

from outgate.vip.shell.boot_file import BootFile


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run" / "vip-boot"


def test_the_first_process_has_the_number_of_the_clock(file: Path) -> None:
    assert BootFile(file).next(clock=1000) == 1000


@pytest.mark.parametrize(("clock", "number"), [(2000, 2000), (1000, 1001), (5, 1001)])
def test_the_next_one_has_a_greater_number_wherever_the_clock_was_set(
    file: Path, clock: int, number: int
) -> None:
    BootFile(file).next(clock=1000)
    assert BootFile(file).next(clock=clock) == number
    assert BootFile(file).next(clock=5) == number + 1


@pytest.mark.parametrize("content", [b"", b"x", b"\xff", b"-7", b"9" * 30])
def test_nonsense_counts_as_no_process_before(file: Path, content: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    assert BootFile(file).next(clock=1000) == 1000


def test_a_disk_that_takes_nothing_is_no_reason_not_to_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert BootFile(tmp_path / "file" / "vip-boot").next(clock=1000) == 1000
