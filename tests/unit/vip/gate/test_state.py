"""What a restart has to know."""

from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgate.vip.gate.errors import GateRefused
from outgate.vip.gate.state import (
    Kept,
    State,
    claimed,
    decode,
    encode,
    forgotten,
    numbered,
    released,
)
from outgate.vip.gate.state_file import StateFile

A, B = ip_address("198.51.100.7"), ip_address("2001:db8:e::7")

states: st.SearchStrategy[State] = st.dictionaries(
    st.text(max_size=8),
    st.dictionaries(st.ip_addresses(), st.integers(0, 2**31)),
    max_size=4,
).map(
    lambda some: {
        name: Kept(number, epochs) for number, (name, epochs) in enumerate(some.items(), start=1)
    }
)


@given(states)
def test_it_reads_as_it_was_written(state: State) -> None:
    assert decode(encode(state)) == state


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'{"version":2,"gateways":{}}',
        b'{"version":1,"gateways":{"a":{"number":1,"epochs":{"x":1}}}}',
        b'{"version":1,"gateways":{"a":{"number":0,"epochs":{}}}}',
        b'{"version":1,"gateways":{"a":{"number":1,"epochs":{}},"b":{"number":1,"epochs":{}}}}',
    ],
)
def test_what_makes_no_sense_is_nothing(data: bytes) -> None:
    assert decode(data) == {}


def test_a_gateway_keeps_its_number_and_a_new_one_gets_the_least_that_is_free() -> None:
    state = numbered(numbered(numbered({}, "a"), "b"), "a")
    assert {name: kept.number for name, kept in state.items()} == {"a": 1, "b": 2}
    assert numbered(forgotten(state, "a"), "c")["c"].number == 1


def test_an_address_is_claimed_for_one_gateway_at_one_epoch() -> None:
    state = numbered(numbered({}, "a"), "b")
    state = claimed(claimed(state, "a", [A, B], epoch=3), "b", [B], epoch=4)
    assert state == {"a": Kept(1, {A: 3}), "b": Kept(2, {B: 4})}
    assert released(state, [A, B]) == {"a": Kept(1), "b": Kept(2)}


def test_the_file_has_what_was_written_last_and_no_draft_beside(tmp_path: Path) -> None:
    path = tmp_path / "run" / "state.json"
    assert StateFile(path).read() == {}
    for state in ({"a": Kept(1)}, {"a": Kept(1, {A: 2})}):
        StateFile(path).write(state)
        assert StateFile(path).read() == state
    assert [one.name for one in path.parent.iterdir()] == ["state.json"]


def test_a_half_written_draft_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    StateFile(path).write({"a": Kept(1)})
    (tmp_path / "state.json.new").write_bytes(b'{"vers')
    assert StateFile(path).read() == {"a": Kept(1)}


def test_a_place_where_nothing_can_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(GateRefused, match="write"):
        StateFile(tmp_path / "file" / "state.json").write({})
