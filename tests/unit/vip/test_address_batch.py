"""The bytes of requests about addresses."""

import struct
from ipaddress import ip_address

import pytest

from outgate.daemon.netlink import attributes
from outgate.vip.address_batch import IFA_F_NODAD, IFA_F_NOPREFIXROUTE, new, old

_IFADDRMSG = struct.Struct("=BBBBI")


@pytest.mark.parametrize(
    ("text", "family", "length", "flags"),
    [
        ("198.51.100.7", 2, 32, 0),
        ("2001:db8::7", 10, 128, IFA_F_NODAD | IFA_F_NOPREFIXROUTE),
    ],
)
def test_a_new_address_is_a_whole_prefix_ours_for_ever_and_never_preferred(
    text: str, family: int, length: int, flags: int
) -> None:
    address = ip_address(text)
    request = new(address, 5)
    assert _IFADDRMSG.unpack_from(request) == (family, length, 0, 0, 5)
    found = dict(attributes(request[_IFADDRMSG.size :]))
    assert found[1] == found[2] == address.packed
    assert found[8] == struct.pack("=I", flags)
    assert found[6] == struct.pack("=IIII", 0, 0xFFFFFFFF, 0, 0)
    assert found[11] == bytes((178,))


def test_an_old_one_is_named_by_link_prefix_and_address() -> None:
    request = old(ip_address("198.51.100.7"), 5)
    assert [kind for kind, _ in attributes(request[_IFADDRMSG.size :])] == [2, 1]
