from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from msgspec import Meta

from outgate.api.cel import Rule, checked
from outgate.api.crd import crd, crds, object_schema
from outgate.api.kinds import EGRESS_POLICY, OURS
from outgate.api.meta import ObjectMeta, Wire

SCHEMAS = {kind.name: object_schema(kind.type) for kind in OURS}

# What a structural schema may say, of the words that ours uses.
WORDS = {
    "type",
    "description",
    "properties",
    "required",
    "items",
    "additionalProperties",
    "enum",
    "default",
    "minimum",
    "maximum",
    "maxLength",
    "maxItems",
    "maxProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
}


class Leaf(Wire, frozen=True, kw_only=True):
    """A leaf,
    on two lines."""

    flag: bool = True
    text: Annotated[str, Meta(max_length=3)] = ""

    RULES = (Rule("self.flag", "of the struct"),)


class Tree(Wire, frozen=True, kw_only=True):
    """A tree."""

    metadata: ObjectMeta
    leaf: Leaf = Leaf()
    maybe: Annotated[Leaf | None, Meta(description="Perhaps.")] = None
    bounded: Annotated[Leaf, Meta(extra_json_schema=checked(Rule("true", "of the field")))]


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All schemas below one, with their paths."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}[]")


@pytest.fixture(params=SCHEMAS)
def below(request: pytest.FixtureRequest) -> list[tuple[str, dict[str, Any]]]:
    return [
        (path, node)
        for path, node in nodes(SCHEMAS[request.param])
        if path not in (".apiVersion", ".kind", ".metadata")
    ]


def test_every_schema_is_typed_and_says_only_what_kubernetes_knows(
    below: list[tuple[str, dict[str, Any]]],
) -> None:
    assert [path for path, node in below if "type" not in node or node.keys() - WORDS] == []


def test_every_text_list_and_map_is_bounded(below: list[tuple[str, dict[str, Any]]]) -> None:
    bounds = {"string": {"maxLength", "enum"}, "array": {"maxItems"}, "object": {"maxProperties"}}
    unbounded = [
        path
        for path, node in below
        if node["type"] in bounds
        and "properties" not in node
        and not node.keys() & bounds[node["type"]]
    ]
    assert unbounded == []


def test_every_rule_has_a_message_of_one_line(below: list[tuple[str, dict[str, Any]]]) -> None:
    rules = [rule for _, node in below for rule in node.get("x-kubernetes-validations", ())]
    messages = [rule["message"] for rule in rules]
    assert [message for message in messages if not message.strip() or "\n" in message] == []


def test_an_objects_default_is_its_fields_defaults() -> None:
    leaf = object_schema(Tree)["properties"]["leaf"]
    assert leaf["default"] == {"flag": True}
    assert "default" not in leaf["properties"]["text"]


def test_null_is_dropped_and_what_is_beside_a_reference_stays() -> None:
    maybe = object_schema(Tree)["properties"]["maybe"]
    assert maybe["type"] == "object"
    assert maybe["description"] == "Perhaps."
    assert "default" not in maybe


def test_rules_of_the_struct_and_of_the_field_come_together() -> None:
    bounded = object_schema(Tree)["properties"]["bounded"]
    assert [rule["message"] for rule in bounded["x-kubernetes-validations"]] == [
        "of the struct",
        "of the field",
    ]


def test_descriptions_are_one_line() -> None:
    assert object_schema(Tree)["properties"]["leaf"]["description"] == "A leaf, on two lines."


def test_metadata_is_left_to_kubernetes() -> None:
    schema = object_schema(Tree)
    assert schema["properties"]["metadata"] == {"type": "object"}
    assert schema["required"] == ["bounded"]


def test_only_kinds_with_a_status_have_the_subresource() -> None:
    having = {
        definition["spec"]["names"]["kind"]
        for definition in crds().values()
        if "subresources" in definition["spec"]["versions"][0]
    }
    assert having == {kind.name for kind in OURS if "status" in kind.type.__struct_fields__}


def test_short_names_are_not_shared() -> None:
    names = [
        name for definition in crds().values() for name in definition["spec"]["names"]["shortNames"]
    ]
    assert sorted(names) == ["egces", "egci", "egcp", "eges", "egp", "egt", "egw"]


def test_a_namespaced_kind_is_namespaced() -> None:
    definition = crd(EGRESS_POLICY)
    assert definition["metadata"]["name"] == "egresspolicies.outgate.dev"
    assert definition["spec"]["scope"] == "Namespaced"
