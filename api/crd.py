"""CRDs, made from the wire structs: the one source of what users may write.

A structural schema in Kubernetes' sense: nothing is left open, references are inlined, and only
those defaults are written into users' objects that tell them something (flags, choices, counts).
"""

import inspect
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect as types

from outgate.api.columns import PRESENTATIONS
from outgate.api.kinds import OURS, Kind
from outgate.api.meta import Wire

_REF = "#/components/{name}"


def crds() -> dict[str, dict[str, Any]]:
    """All CustomResourceDefinitions by name (`<plural>.<group>`), as values for YAML or JSON."""
    return {f"{kind.plural}.{kind.group}": crd(kind) for kind in OURS}


def crd(kind: Kind[Any]) -> dict[str, Any]:
    """The CustomResourceDefinition of one of our kinds."""
    presentation = PRESENTATIONS[kind.name]
    schema = object_schema(kind.type)
    version: dict[str, Any] = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [column.rendered() for column in presentation.columns],
        "schema": {"openAPIV3Schema": schema},
    }
    if "status" in schema["properties"]:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [presentation.short_name],
                "categories": ["outgate"],
            },
            "versions": [version],
        },
    }


def object_schema(kind_type: type[Wire]) -> dict[str, Any]:
    """The structural schema of a whole object, `metadata` left to Kubernetes."""
    (ref,), components = msgspec.json.schema_components([kind_type], ref_template=_REF)
    structs = {struct.__name__: struct for struct in _structs(types.type_info(kind_type))}
    schema = _Inliner(components, structs).inlined(ref)
    properties = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        **schema["properties"],
        "metadata": {"type": "object"},
    }
    properties.get("status", {}).pop("default", None)
    required = [name for name in schema.get("required", ()) if name != "metadata"]
    return _without_empty({**schema, "properties": properties, "required": required})


class _Inliner:
    """Turns msgspec's JSON schema, with its references, into a structural one."""

    def __init__(
        self, components: dict[str, dict[str, Any]], structs: dict[str, type[Wire]]
    ) -> None:
        self._components = components
        self._structs = structs

    def inlined(self, schema: dict[str, Any]) -> dict[str, Any]:
        """One schema and all below it. What is beside a reference wins over what it names."""
        schema = _without_null(schema)
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(_REF.format(name=""))
            struct = self._structs[name]
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**self._components[name], **beside}
            rules = [rule.rendered() for rule in struct.RULES]
            rules += beside.get("x-kubernetes-validations", [])
            schema["x-kubernetes-validations"] = rules
        # Kubernetes has no title, no propertyNames; an enum needs its type.
        result = {key: schema[key] for key in schema if key not in ("title", "propertyNames")}
        if "enum" in result:
            result["type"] = "string"
        if "description" in result:
            result["description"] = " ".join(inspect.cleandoc(result["description"]).split())
        if "properties" in result:
            result["properties"] = {
                name: self.inlined(value) for name, value in result["properties"].items()
            }
        for key in ("items", "additionalProperties"):
            if key in result:
                result[key] = self.inlined(result[key])
        return _without_empty(_with_default(result))


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """`T | None` as `T`: Kubernetes prunes null from fields that are not nullable."""
    match schema.get("anyOf"):
        case [one, {"type": "null"}]:
            return {**one, **{k: v for k, v in schema.items() if k not in ("anyOf", "default")}}
    return schema


def _with_default(schema: dict[str, Any]) -> dict[str, Any]:
    """Only defaults that tell something; an object's are those of its fields."""
    if "default" not in schema:
        return schema
    below = schema.get("properties", {})
    default = schema.pop("default")
    if schema["type"] in ("boolean", "integer") or "enum" in schema:
        return {**schema, "default": default}
    inner = {name: value["default"] for name, value in below.items() if "default" in value}
    return {**schema, "default": inner} if inner else schema


def _without_empty(schema: dict[str, Any]) -> dict[str, Any]:
    empty = ("required", "x-kubernetes-validations")
    return {key: value for key, value in schema.items() if value or key not in empty}


def _structs(info: types.Type) -> Iterator[type[Wire]]:
    """The struct types below a type."""
    match info:
        case types.StructType(cls=cls, fields=fields) if issubclass(cls, Wire):
            yield cls
            for field in fields:
                yield from _structs(field.type)
        case types.Metadata(type=inner) | types.VarTupleType(item_type=inner):
            yield from _structs(inner)
        case types.UnionType(types=members):
            for member in members:
                yield from _structs(member)
