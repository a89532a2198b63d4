"""The options of the vip process."""

from dataclasses import asdict, fields
from typing import Any

import click
import pytest
from click.testing import CliRunner

from outgate.api.settings import SettingsWrong
from outgate.vip.config import CHOSEN, settings_from, timing_options
from outgate.vip.engine.settings import DEFAULTS, Partition, Settings


@click.command()
@timing_options
def say(**timings: Any) -> None:
    click.echo(repr(settings_from(**timings)))


def test_without_options_everything_is_as_the_engine_has_it() -> None:
    done = CliRunner().invoke(say)
    assert done.output.strip() == repr(DEFAULTS)


def test_each_option_is_a_setting_of_the_engine() -> None:
    assert CHOSEN.keys() <= {field.name for field in fields(Settings)}
    options = {option.name: option for option in say.params}
    assert options.keys() == CHOSEN.keys() | {"partition"}
    for name in CHOSEN:
        assert options[name].default == getattr(DEFAULTS, name)
        assert type(options[name].default) is type(options[name].type.convert("3", None, None))


def test_what_is_chosen_is_taken() -> None:
    said = "--interval 0.2 --misses 4 --lease 0.6 --isolation 2 --freshness 0.8 --withhold 1"
    done = CliRunner().invoke(say, [*said.split(), "--partition", "Consistency"])
    assert done.exit_code == 0, done.exception
    for part in ("interval=0.2", "misses=4", "lease=0.6", "Partition.CONSISTENCY"):
        assert part in done.output


def chosen(**changes: Any) -> dict[str, Any]:
    named = {name: value for name, value in asdict(DEFAULTS).items() if name in CHOSEN}
    return named | {"partition": Partition.AVAILABILITY.value} | changes


@pytest.mark.parametrize(
    ("changes", "what", "right"),
    [
        ({"lease": 0.1}, "lease 100 ms", "221 ms"),
        ({"lease": 0.4}, "a silent member may still answer", "457 ms"),
        ({"misses": 1}, "one lost heartbeat would count as a death", "use 3"),
        ({"isolation": 0.3}, "isolation 300 ms", "550 ms"),
        ({"withhold": 0.4}, "withhold 400 ms", "442 ms"),
        ({"freshness": 0.1}, "freshness 100 ms", "221 ms"),
        ({"term": 0.5}, "term 500 ms", "1105 ms"),
        ({"restart": 60.0}, "restart 60000 ms", "10000 ms"),
        ({"drift": 0.5}, "drift 0.5", "0.05"),
        ({"lease": float("nan")}, "lease nan", "greater than 0"),
        ({"restart": float("inf")}, "restart inf", "greater than 0"),
        ({"renew": 0.0}, "renew 0.0", "greater than 0"),
        ({"probe": -1.0}, "probe -1.0", "greater than 0"),
    ],
)
def test_a_bad_combination_is_refused_with_what_would_be_right(
    changes: dict[str, Any], what: str, right: str
) -> None:
    with pytest.raises(SettingsWrong, match=what) as refused:
        settings_from(**chosen(**changes))
    assert right in str(refused.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(SettingsWrong, match=r"misses 1: .*; .*drift 0\.5: "):
        settings_from(**chosen(misses=1, drift=0.5))


def test_clocks_that_do_not_drift_are_fine() -> None:
    assert settings_from(**chosen(drift=0.0)).drift == 0.0
