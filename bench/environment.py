"""What a benchmark is asked for by the environment."""

import os
from collections.abc import Mapping


class BadSetting(ValueError):
    """A variable has a value that makes no sense; the message says what would."""


def rounds(name: str, default: int, *, environment: Mapping[str, str] = os.environ) -> int:
    """How often to measure: `OUTGATE_<name>_ROUNDS`. Raises BadSetting."""
    variable = f"OUTGATE_{name}_ROUNDS"
    value = environment.get(variable) or str(default)
    if not value.isdecimal() or int(value) < 1:
        raise BadSetting(f"{variable} must be a whole number of at least 1, not {value!r}")
    return int(value)
