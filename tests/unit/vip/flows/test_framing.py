"""Frames are found wherever the stream is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgate.vip.flows.errors import NotOurs
from outgate.vip.flows.framing import FRAME_MAX, Frames, framed


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=10), st.integers(1, 20))
def test_frames_come_out_as_they_went_in(frames: list[bytes], cut: int) -> None:
    stream = b"".join(framed(frame) for frame in frames)
    reader = Frames()

    found = [
        frame
        for start in range(0, len(stream), cut)
        for frame in reader.feed(stream[start : start + cut])
    ]

    assert found == frames


@pytest.mark.parametrize("length", [0, FRAME_MAX + 1])
def test_a_length_that_no_frame_has_ends_the_stream(length: int) -> None:
    with pytest.raises(NotOurs, match=str(length)):
        list(Frames().feed(length.to_bytes(4, "big")))


@pytest.mark.parametrize("size", [0, FRAME_MAX + 1])
def test_no_such_frame_is_sent(size: int) -> None:
    with pytest.raises(NotOurs):
        framed(bytes(size))
