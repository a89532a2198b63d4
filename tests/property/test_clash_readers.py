"""What others' rules say is read whatever they say: a reader that fails would stop the agent."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from outgate.agent import legacy_tables, nft_marks
from outgate.agent.clashes import clashes
from outgate.agent.node_state import ALL_BITS, MarkUse, NodeState
from outgate.agent.xt_marks import of_xtables
from outgate.api.view import DataPathSettings
from outgate.daemon.netlink import attribute, attributes

OURS = DataPathSettings()
EXPRESSIONS = ("meta", "ct", "immediate", "bitwise", "byteorder", "cmp", "lookup", "range", "match")
XTABLES = ("mark", "connmark", "MARK", "CONNMARK", "TPROXY", "comment", "ERROR")


@st.composite
def expressions(draw: st.DrawFn) -> bytes:
    """One expression with some of its attributes, sensible or not."""
    name = draw(st.sampled_from(EXPRESSIONS)).encode() + b"\0"
    number = st.sampled_from([0, 1, 2, 3, 4, 8, 9]).map(lambda value: struct.pack("!I", value))
    constant = st.binary(max_size=16).map(lambda value: attribute(1, value))
    given_ = draw(st.dictionaries(st.integers(1, 8), number | constant | st.binary(max_size=8)))
    data = b"".join(attribute(kind, value) for kind, value in given_.items())
    return attribute(1, attribute(1, name) + attribute(2, data))


@given(st.lists(expressions(), max_size=6), st.binary(max_size=8))
def test_any_rule_of_nftables_is_read(rule: list[bytes], userdata: bytes) -> None:
    message = bytes((2, 0, 0, 0)) + b"".join(
        (
            attribute(1, b"t\0"),
            attribute(2, b"c\0"),
            attribute(4, b"".join(rule)),
            attribute(7, userdata),
        )
    )
    for use in nft_marks.of_nftables([message], ours=("outgate",)):
        assert (use.table, use.chain) == ("ip t", "c")
        assert 0 <= use.mask <= ALL_BITS


@given(st.sampled_from(XTABLES), st.integers(0, 3), st.binary(max_size=40))
def test_any_match_or_target_of_iptables_is_read(name: str, revision: int, info: bytes) -> None:
    assert len(list(of_xtables(name, revision, info))) <= 2


@given(st.binary(max_size=600))
def test_bytes_that_are_no_table_are_read_to_their_end(data: bytes) -> None:
    for layout in legacy_tables.LAYOUTS.values():
        list(legacy_tables.uses_in(data, layout, hooks={0: "INPUT"}, table="ip filter"))
    list(attributes(data))


@given(st.integers(0, ALL_BITS - 1), st.integers(0, ALL_BITS), st.sampled_from(["reads", "writes"]))
def test_a_masked_use_is_a_clash_where_the_masks_meet_and_only_there(
    mask: int, value: int, verb: str
) -> None:
    use = MarkUse("ip t", "c", "packet", verb, mask, value & mask)  # type: ignore[arg-type]
    assert bool(clashes(NodeState(mark_uses=(use,)), OURS)) == bool(mask & OURS.mark_mask)
