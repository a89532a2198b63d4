"""Label and field selectors in their text form, evaluated over plain JSON objects. Pure.

For the fake: a real API server evaluates them itself.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

_Test = Callable[[Mapping[str, Any]], bool]

_SET = re.compile(r"^(?P<key>\S+)\s+(?P<op>in|notin)\s+\((?P<values>[^)]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^!=\s]+)\s*(?P<op>==|=|!=)\s*(?P<value>.*)$")
_OUTSIDE_BRACKETS = re.compile(r",(?![^(]*\))")


def matcher(*, namespace: str, field_selector: str, label_selector: str) -> _Test:
    """Whether an object is selected. Raises ValueError if a selector can't be read."""
    tests = [
        *(_field(term) for term in _terms(field_selector)),
        *(_label(term) for term in _terms(label_selector)),
    ]
    if namespace:
        tests.append(lambda item: item["metadata"].get("namespace", "") == namespace)
    return lambda item: all(test(item) for test in tests)


def _terms(selector: str) -> list[str]:
    return [term.strip() for term in _OUTSIDE_BRACKETS.split(selector) if term.strip()]


def _field(term: str) -> _Test:
    match = _EQUAL.match(term)
    if match is None:
        raise ValueError(f"not a field selector: {term!r}")
    keys, wanted, positive = match["key"].split("."), match["value"], match["op"] != "!="

    def test(item: Mapping[str, Any]) -> bool:
        value: Any = item
        for key in keys:
            value = value.get(key, "") if isinstance(value, dict) else ""
        return (str(value) == wanted) is positive

    return test


def _label(term: str) -> _Test:
    if match := _SET.match(term):
        values = {value.strip() for value in match["values"].split(",")}
        return _in(match["key"], values, positive=match["op"] == "in")
    if match := _EQUAL.match(term):
        return _in(match["key"], {match["value"]}, positive=match["op"] != "!=")
    if not re.fullmatch(r"!?[\w./-]+", term):
        raise ValueError(f"not a label selector: {term!r}")
    key, wanted = term.removeprefix("!"), not term.startswith("!")
    return lambda item: (key in _labels(item)) is wanted


def _in(key: str, values: set[str], *, positive: bool) -> _Test:
    # An object without the label satisfies != and notin.
    return lambda item: (_labels(item).get(key) in values) is positive


def _labels(item: Mapping[str, Any]) -> Mapping[str, str]:
    return item["metadata"].get("labels") or {}
