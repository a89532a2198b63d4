"""nft's text and its listings."""

import pytest

from outgate.rules.model import AddElements, AddSet, Elements, Set, SetType, Transaction
from outgate.rules.nft import parse, render

SPANS = SetType(("nf_proto", "ipv4_addr"), "mark", interval=True)


def test_a_long_list_is_cut_into_commands_that_nft_does_not_join() -> None:
    many: Elements = {("ipv4", (number * 2, number * 2)): 0x10000 for number in range(1200)}

    lines = render(Transaction((AddElements("inet", "spans4_1", SPANS, many),))).splitlines()

    assert lines.count("add element inet outgate spans4_1 {") == 3
    assert lines.count("add table inet outgate") == 2


def test_elements_are_rendered_in_order() -> None:
    one = AddElements("inet", "held4", SetType(("mark",)), {(2,): None, (1,): None})
    other = AddElements("inet", "held4", SetType(("mark",)), {(1,): None, (2,): None})

    assert render(Transaction((one,))) == render(Transaction((other,)))


@pytest.mark.parametrize(
    ("listed", "span"),
    [
        ("192.0.2.1", (0xC0000201, 0xC0000201)),
        ({"prefix": {"addr": "192.0.2.0", "len": 24}}, (0xC0000200, 0xC00002FF)),
        ({"range": ["192.0.2.1", "192.0.2.9"]}, (0xC0000201, 0xC0000209)),
    ],
)
def test_each_way_to_list_a_span_is_understood(listed: object, span: tuple[int, int]) -> None:
    listing = {
        "nftables": [
            {"table": {"family": "inet", "name": "outgate"}},
            {
                "map": {
                    "family": "inet",
                    "table": "outgate",
                    "name": "spans4_1",
                    "type": ["nf_proto", "ipv4_addr"],
                    "map": "mark",
                    "flags": ["interval"],
                    "elem": [[{"concat": ["ipv4", listed]}, 65536]],
                }
            },
        ]
    }

    assert parse(listing)["inet"].sets["spans4_1"].elements == {("ipv4", span): 65536}


def test_a_zone_is_declared_by_what_it_is_and_listed_as_a_number() -> None:
    type_ = SetType(("mark",), "zone", size=4096)
    declared = render(Transaction((AddSet("inet", "zones", type_),)))
    listed = {
        "family": "inet",
        "table": "outgate",
        "name": "zones",
        "type": "mark",
        "map": "integer",
        "size": 4096,
        "elem": [[7, 7]],
    }
    listing = {"nftables": [{"table": {"family": "inet", "name": "outgate"}}, {"map": listed}]}

    assert "{ typeof meta mark : ct original zone; size 4096; }" in declared
    assert parse(listing)["inet"].sets["zones"] == Set(type_, {(7,): 7})


def test_other_tables_are_not_ours() -> None:
    listing = {
        "nftables": [
            {"table": {"family": "inet", "name": "cni"}},
            {"chain": {"family": "inet", "table": "cni", "name": "early"}},
            {"table": {"family": "ip", "name": "outgate"}},
        ]
    }

    assert parse(listing) == {}
