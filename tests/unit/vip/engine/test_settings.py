"""Which settings go together; what the defaults promise."""

from dataclasses import replace

import pytest

from outgate.vip.engine.settings import DEFAULTS, validate


def test_the_defaults_go_together() -> None:
    assert validate(DEFAULTS) == ()


@pytest.mark.parametrize(
    ("wrong", "named", "right"),
    [
        ({"interval": 0.001}, "interval 1 ms", "10 ms"),
        ({"misses": 1}, "misses 1", "use 3"),
        ({"drift": 0.5}, "drift 0.5", "0.05"),
        ({"lease": 0.15}, "lease 150 ms", "at least 221 ms"),
        ({"lease": 0.3}, "interval times misses is 300 ms", "at least 347 ms"),
        ({"withhold": 0.3}, "withhold 300 ms", "at least 442 ms"),
        ({"freshness": 0.15}, "freshness 150 ms", "at least 221 ms"),
        ({"isolation": 0.4}, "isolation 400 ms", "550 ms"),
        ({"term": 0.6}, "term 600 ms", "at least two renewals"),
        ({"settle": 5.0}, "settle 5000 ms", "three readings"),
        ({"restart": 60.0}, "restart 60000 ms", "settle"),
        ({"probe": 0.03}, "probe 30 ms", "60 ms"),
    ],
)
def test_a_bad_combination_is_named_with_what_would_be_right(
    wrong: dict[str, float], named: str, right: str
) -> None:
    sentences = validate(replace(DEFAULTS, **wrong))  # type: ignore[arg-type]
    assert any(sentence.startswith(named) and right in sentence for sentence in sentences)


def test_by_the_defaults_a_silent_member_has_let_go_when_it_counts_as_silent() -> None:
    assert DEFAULTS.outlast(DEFAULTS.lease) < DEFAULTS.silence


def test_one_lost_heartbeat_is_no_reason_to_let_go() -> None:
    slow_clock = 2 * DEFAULTS.interval * DEFAULTS.skew
    assert slow_clock < DEFAULTS.lease
