"""What is cut is put together again."""

import pytest

from outgate.vip.peer.parts import UNFINISHED_MAX, Assembly, cut


def test_nothing_is_one_empty_part() -> None:
    assert cut(b"", size=3) == (b"",)


def test_parts_come_in_any_order_and_more_than_once() -> None:
    assembly = Assembly()
    first, second, third = cut(b"abcdefgh", size=3)
    assert assembly.add(1, 2, 3, third) is None
    assert assembly.add(1, 2, 3, third) is None
    assert assembly.missing(1) == (0, 1)
    assert assembly.add(1, 0, 3, first) is None
    assert assembly.add(1, 1, 3, second) == b"abcdefgh"
    assert assembly.missing(1) == ()


def test_the_oldest_unfinished_message_is_given_up_for_another() -> None:
    assembly = Assembly()
    for number in range(UNFINISHED_MAX + 1):
        assembly.add(number, 0, 2, b"a")
    assert assembly.missing(0) == ()
    assert assembly.missing(1) == (1,)


@pytest.mark.parametrize(("part", "parts"), [(0, 0), (2, 2), (0, 513), (0, 3)])
def test_a_part_that_does_not_fit_is_nonsense(part: int, parts: int) -> None:
    assembly = Assembly()
    assembly.add(1, 0, 2, b"a")
    with pytest.raises(ValueError, match="part"):
        assembly.add(1, part, parts, b"b")
