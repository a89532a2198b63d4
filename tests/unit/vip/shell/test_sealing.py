"""Frames between nodes: who may say what to whom, and once."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgate.vip.flows.errors import FrameRefused
from outgate.vip.peer.keys import NO_KEYS, Keys
from outgate.vip.shell.sealing import StreamSeal

OLD, NEW = b"a key of sixteen bytes or more..", b"another one, just as long as that"
KEYS = Keys({"old": OLD}, ("old",))
BOOTS = {"a": 11, "b": 22, "c": 33}


def seal_of(node: str, *, keys: Keys = KEYS, knows: dict[str, int] | None = None) -> StreamSeal:
    """A node's, that has met all others."""
    known = BOOTS if knows is None else knows
    boot_of: Callable[[str], int] = lambda other: known.get(other, 0)  # noqa: E731
    return StreamSeal(node, boot=BOOTS[node], keys=lambda: keys, boot_of=boot_of)


@given(st.binary(max_size=2000))
def test_what_is_sealed_for_a_node_it_opens(payload: bytes) -> None:
    assert seal_of("b").open(seal_of("a").seal("b", payload)) == ("a", payload)


@given(st.data())
def test_a_frame_with_any_bit_turned_is_refused(data: st.DataObject) -> None:
    frame = bytearray(seal_of("a").seal("b", b"flows"))
    bit = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FrameRefused):
        seal_of("b").open(bytes(frame))


@given(st.integers(0, 200))
def test_a_frame_that_was_cut_is_refused(length: int) -> None:
    frame = seal_of("a").seal("b", b"flows" * 40)
    with pytest.raises(FrameRefused):
        seal_of("b").open(frame[:length])


def test_each_frame_counts_once_and_none_after_a_later_one() -> None:
    sender, receiver = seal_of("a"), seal_of("b")
    first, second = sender.seal("b", b"1"), sender.seal("b", b"2")
    assert receiver.open(second) == ("a", b"2")
    for frame in (first, second):
        with pytest.raises(FrameRefused, match="before"):
            receiver.open(frame)


@pytest.mark.parametrize(
    ("receiver", "why"),
    [
        (seal_of("c"), "another node"),
        (StreamSeal("b", boot=23, keys=lambda: KEYS, boot_of=BOOTS.__getitem__), "earlier life"),
        (seal_of("b", keys=Keys({"new": NEW}, ("new",))), "unknown here"),
        (seal_of("b", keys=Keys({"old": NEW}, ("old",))), "forged"),
    ],
    ids=[
        "for another",
        "from before a restart",
        "by an unknown key",
        "by another key of that name",
    ],
)
def test_what_is_not_for_this_life_of_this_node_is_refused(receiver: StreamSeal, why: str) -> None:
    with pytest.raises(FrameRefused, match=why):
        receiver.open(seal_of("a").seal("b", b"flows"))


def test_who_sends_with_both_keys_is_understood_by_those_who_have_one() -> None:
    both = Keys({"old": OLD, "new": NEW}, ("old", "new"))
    for keys in (KEYS, Keys({"new": NEW}, ("new",)), both):
        frame = seal_of("a", keys=both).seal("b", b"flows")
        assert seal_of("b", keys=keys).open(frame) == ("a", b"flows")


@pytest.mark.parametrize(
    "seal", [seal_of("a", keys=NO_KEYS), seal_of("a", knows={})], ids=["no key", "not met yet"]
)
def test_nothing_is_sent_that_nobody_could_believe(seal: StreamSeal) -> None:
    with pytest.raises(FrameRefused, match="b: no key"):
        seal.seal("b", b"flows")
