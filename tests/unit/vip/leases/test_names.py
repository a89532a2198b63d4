import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outgate.vip.leases import names

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")

PARTS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?", fullmatch=True)
SUBDOMAINS = st.lists(PARTS, min_size=1, max_size=5).map(lambda parts: ".".join(parts)[:253])
NAMES = SUBDOMAINS.filter(lambda name: SUBDOMAIN.fullmatch(name) is not None)

LONG = "a" * 253


def test_people_can_read_whose_it_is() -> None:
    assert names.lease_name("internet", "node-a").startswith("outgate-vip-internet-node-a-")


@given(NAMES, NAMES)
@example(LONG, LONG)
@example("a", LONG)
@example("a" * 220 + ".b", "c.d-e")
def test_the_api_takes_name_and_labels(gateway: str, node: str) -> None:
    name = names.lease_name(gateway, node)
    assert len(name) <= 253
    assert SUBDOMAIN.fullmatch(name)
    for value in names.labels(gateway, node).values():
        assert len(value) <= 63
        assert LABEL.fullmatch(value)


@given(NAMES, NAMES)
@example("a-b", "c")
@example("a", "b-c")
@example("a.b", "c-d.e")
@example(LONG, LONG)
def test_a_name_says_whose_it_is_unless_it_was_cut(gateway: str, node: str) -> None:
    name = names.lease_name(gateway, node)
    cut = f"-{gateway}-{node}-" not in name
    assert names.member_of(name) == (None if cut else (gateway, node))
    told = {names.GATEWAY: gateway, names.NODE: node}
    assert names.named_in(told, name) == (gateway, node)


def test_no_two_members_share_a_name() -> None:
    members = [("a-b", "c"), ("a", "b-c"), ("a.b", "c"), ("a", "b.c"), (LONG, "a"), (LONG, "b")]
    members += [("a", LONG), ("b", LONG), (LONG[:-1] + "b", "a")]
    assert len({names.lease_name(*member) for member in members}) == len(members)


@pytest.mark.parametrize(
    "name",
    ["outgate-controller", "outgate-vip-", "", "outgate-vip-a-b-0123456789abcdef", "a-b"],
)
def test_another_lease_is_nobodys(name: str) -> None:
    assert names.member_of(name) is None


@pytest.mark.parametrize("annotations", [{}, {names.GATEWAY: LONG}, {names.NODE: LONG}])
def test_annotations_that_do_not_fit_the_name_say_nothing(annotations: dict[str, str]) -> None:
    assert names.named_in(annotations, names.lease_name(LONG, LONG)) is None


def test_a_label_of_a_long_name_differs_from_that_of_another() -> None:
    one, other = (names.labels(LONG + end, "node")[names.GATEWAY] for end in "ab")
    assert one != other


def test_a_selector_finds_the_leases_of_the_gateways_that_are_named() -> None:
    assert names.selector(["b", "a"]) == "outgate.dev/gateway in (a,b)"
    for gateway in ("a", LONG):
        (value,) = [names.labels(gateway, "node")[names.GATEWAY]]
        assert value in names.selector([gateway])
        assert names.labelled(names.labels(gateway, "node"), (gateway, "node"))
        assert not names.labelled({}, (gateway, "node"))


@pytest.mark.parametrize("count", [0, 51])
def test_a_selector_of_none_or_very_many_gateways_is_one_of_all(count: int) -> None:
    assert names.selector([f"gateway-{number}" for number in range(count)]) == names.GATEWAY
    assert len(names.selector([LONG + str(number) for number in range(names.SELECTED)])) < 4096
