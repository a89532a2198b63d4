"""Class ids are small, distinct, and do not move."""

import pytest

from outgate.rules.classes import CLASS_MAX, class_ids


def test_each_distinct_list_gets_an_id_of_its_own() -> None:
    lists = [(f"team/{number}",) for number in range(2000)]

    ids = class_ids([*lists, *lists])

    assert len(set(ids.values())) == len(lists)
    assert all(1 <= id_ <= CLASS_MAX for id_ in ids.values())


def test_an_id_depends_on_its_list_not_on_the_others() -> None:
    alone = class_ids([("a", "b")])

    assert class_ids([("z",), ("a", "b"), ("c",)])["a", "b"] == alone["a", "b"]


def test_keys_are_not_glued_together() -> None:
    ids = class_ids([("ab",), ("a", "b")])

    assert ids["ab",] != ids["a", "b"]


def test_the_order_of_the_lists_does_not_matter() -> None:
    lists = [(f"{number}",) for number in range(3000)]

    assert class_ids(lists) == class_ids(reversed(lists))


def test_a_list_that_changes_a_little_keeps_its_id() -> None:
    before = class_ids([("a", "b", "c"), ("x",)])

    after = class_ids([("a", "b", "c", "d"), ("x", "y", "z")], before=before)

    assert after["a", "b", "c", "d"] == before["a", "b", "c"]
    assert len(set(after.values())) == 2


def test_one_of_two_heirs_gets_the_id() -> None:
    before = class_ids([("a", "b", "c")])

    after = class_ids([("a", "b", "c", "d"), ("a", "b", "c", "e")], before=before)

    assert list(after.values()).count(before["a", "b", "c"]) == 1


def test_a_list_that_stays_keeps_its_id_from_any_heir() -> None:
    before = class_ids([("a", "b", "c")])

    after = class_ids([("a", "b", "c"), ("a", "b", "c", "d")], before=before)

    assert after["a", "b", "c"] == before["a", "b", "c"]
    assert len(set(after.values())) == 2


def test_more_lists_than_ids_is_an_error() -> None:
    with pytest.raises(ValueError, match="65536 classes"):
        class_ids([(f"{number}",) for number in range(CLASS_MAX + 1)])
