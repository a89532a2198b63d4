"""How the kernel's table is asked for the flows of egress ids: pure parts."""

import pytest

from outgate.vip.flows.table import FEW, WALK, apart


@pytest.mark.parametrize(
    ("ids", "tracked", "expected"),
    [
        (1, 0, True),
        (1, 1_000_000, True),
        (2, WALK - 1, False),
        (2, WALK, True),
        (FEW, WALK * (FEW - 1) - 1, False),
        (FEW, WALK * (FEW - 1), True),
        (FEW + 1, 1_000_000, False),
    ],
)
def test_it_is_walked_for_each_id_only_where_that_saves_reading(
    monkeypatch: pytest.MonkeyPatch, ids: int, tracked: int, expected: bool
) -> None:
    monkeypatch.setattr("outgate.vip.flows.table.tracked_flows", lambda unknown: tracked)
    assert apart(range(ids)) is expected
