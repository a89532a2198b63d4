"""Bytes of transactions, and back."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from outgate.daemon.netlink import attributes
from outgate.vip.gate import messages
from outgate.vip.gate.model import Change, Element, Family, Verb

_HEADER = struct.Struct("=IHHII")

elements = st.builds(
    Element,
    st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16),
    goto=st.sampled_from(("", "gw_1", "gw_4711")),
    timeout=st.integers(0, 2**40),
)


def split(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Type, flags, serial and content of each message."""
    found, at = [], 0
    while at < len(data):
        length, kind, flags, serial, _ = _HEADER.unpack_from(data, at)
        found.append((kind, flags, serial, data[at + _HEADER.size : at + length]))
        at += (length + 3) & ~3
    return found


@given(st.lists(elements, min_size=1, max_size=20))
def test_elements_read_as_they_were_written(some: list[Element]) -> None:
    data, _ = messages.batch([Change(Verb.ADD, Family.INET, "owned4", tuple(some))])
    (_, (_, _, _, content), _) = split(data)
    assert list(messages.elements(content)) == some


def test_a_deletion_names_keys_alone() -> None:
    change = Change(Verb.DELETE, Family.ARP, "owned4", (Element(b"abcd", "gw_1", 9),))
    (_, (_, _, _, content), _) = split(messages.batch([change])[0])
    assert list(messages.elements(content)) == [Element(b"abcd")]


def test_flushing_a_set_names_no_element() -> None:
    (_, (kind, _, _, content), _) = split(
        messages.batch([Change(Verb.FLUSH, Family.ARP, "alive_1")])[0]
    )
    assert kind & 0xFF == 14  # NFT_MSG_DELSETELEM
    assert [number for number, _ in attributes(content[4:])] == [1, 2]


def test_the_last_change_alone_is_acknowledged_and_each_message_belongs_to_its_change() -> None:
    many = tuple(Element(number.to_bytes(4, "big")) for number in range(1000))
    data, of = messages.batch(
        [
            Change(Verb.FLUSH, Family.INET, "managed4"),
            Change(Verb.ADD, Family.INET, "managed4", many),
        ],
        serial=100,
    )
    begin, *middle, end = split(data)
    assert (begin[0], end[0]) == (16, 17)
    assert list(of) == [0, 1, 1, 1]
    assert [serial for _, _, serial, _ in middle] == [101, 102, 103, 104]
    assert [bool(flags & 4) for _, flags, _, _ in middle] == [False, False, False, True]
    assert sum(len(list(messages.elements(content))) for *_, content in middle) == 1000


def test_no_attribute_is_longer_than_its_length_can_say() -> None:
    many = tuple(Element(number.to_bytes(16, "big"), "gw_65535", 9) for number in range(5000))
    data, _ = messages.batch([Change(Verb.ADD, Family.INET, "owned6", many)])
    assert sum(len(list(messages.elements(c))) for *_, c in split(data)[1:-1]) == 5000


def test_each_element_that_is_asked_for_has_a_number_of_its_own_and_is_no_transaction() -> None:
    places = [(Family.ARP, "alive", b"abcd"), (Family.INET, "fuse", b"efgh")]
    asked = split(messages.element_requests(places, serial=7))
    assert [(kind, flags, serial) for kind, flags, serial, _ in asked] == [
        (messages.GET_ELEMENTS, 1, 7),
        (messages.GET_ELEMENTS, 1, 8),
    ]
    assert [list(messages.elements(content)) for *_, content in asked] == [
        [Element(b"abcd")],
        [Element(b"efgh")],
    ]
