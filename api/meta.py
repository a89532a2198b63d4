"""What every Kubernetes object of ours shares: metadata, label selectors, conditions.

Wire form only: strings stay strings here. Addresses are parsed at the edge that needs them
(`outgate.api.net`), so that one malformed object can be skipped and named, not half-read.
"""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from outgate.api.cel import Rule, checked, say

GROUP = "outgate.dev"
VERSION = "v1beta1"
API_VERSION = f"{GROUP}/{VERSION}"

NAME_MAX = 253  # RFC 1123 subdomain, as Kubernetes uses it for object names
LABEL_MAX = 63  # RFC 1123 label
ADDRESS_LENGTH = 39  # the longest IPv6 address without a dotted quad


class Wire(
    msgspec.Struct,
    frozen=True,
    rename="camel",
    omit_defaults=True,
    gc=False,
):
    """Base of all wire values: immutable, camelCase outside, absent fields left out.

    RULES: what the API server holds a value to as a whole; rules about one field are beside it.
    """

    RULES: ClassVar[tuple[Rule, ...]] = ()


class OwnerReference(Wire, frozen=True, kw_only=True):
    """The object that this one is garbage-collected with."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(Wire, frozen=True, kw_only=True):
    """The part of `metav1.ObjectMeta` that Outgate reads or writes."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()


_DNS = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_WORD = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_IS_NAME = f".matches('^{_DNS}([.]{_DNS})*$')"
_IS_KEY = f".matches('^({_DNS}([.]{_DNS})*/)?{_WORD}$')"
_IS_VALUE = f".matches('^({_WORD})?$')"
_KEY_FORM = "not a label key: write one such as app or example.org/app"
_VALUE_FORM = "not a label value: write letters, digits, '-', '_' and '.', such as web-1"

GatewayName = Annotated[
    str,
    Meta(
        max_length=NAME_MAX,
        extra_json_schema=checked(
            Rule(
                f"self == '' || self{_IS_NAME}",
                "not a name: write the gateway's metadata.name, such as default",
                say("'{self}' is not a name: write the gateway's metadata.name, such as default"),
            )
        ),
    ),
]
"""Name of an EgressGateway; empty for the default gateway."""

LabelValue = Annotated[
    str,
    Meta(
        max_length=LABEL_MAX,
        extra_json_schema=checked(
            Rule(f"self{_IS_VALUE}", _VALUE_FORM, say(f"'{{self}}' is {_VALUE_FORM}"))
        ),
    ),
]
LabelKey = Annotated[
    str,
    Meta(
        max_length=NAME_MAX + 1 + LABEL_MAX,
        extra_json_schema=checked(
            Rule(f"self{_IS_KEY}", _KEY_FORM, say(f"'{{self}}' is {_KEY_FORM}"))
        ),
    ),
]


class Requirement(Wire, frozen=True, kw_only=True):
    """One `matchExpressions` entry of a label selector."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Annotated[tuple[LabelValue, ...], Meta(max_length=64)] = ()

    RULES = (
        Rule(
            "!(self.operator in ['In', 'NotIn']) || (has(self.values) && self.values.size() > 0)",
            "In and NotIn need values: list at least one",
            say("operator {self.operator} needs values: list at least one, or use Exists"),
        ),
        Rule(
            "!(self.operator in ['Exists', 'DoesNotExist'])"
            " || !has(self.values) || self.values.size() == 0",
            "Exists and DoesNotExist take no values: remove them",
            say("operator {self.operator} takes no values: remove them, or use In or NotIn"),
        ),
    )


class LabelSelector(Wire, frozen=True, kw_only=True):
    """Kubernetes' label selector: all labels and all expressions must hold; empty selects all."""

    match_labels: Annotated[
        dict[str, LabelValue],
        Meta(
            max_length=64,
            extra_json_schema=checked(
                # Kubernetes has no propertyNames, so the map looks at its own keys.
                Rule(
                    f"self.all(k, k.size() <= {NAME_MAX + 1 + LABEL_MAX} && k{_IS_KEY})",
                    _KEY_FORM,
                    say(f"'@' is {_KEY_FORM}", at=f"self.filter(k, !k{_IS_KEY})[0]"),
                )
            ),
        ),
    ] = {}
    match_expressions: Annotated[tuple[Requirement, ...], Meta(max_length=16)] = ()


class Condition(Wire, frozen=True, kw_only=True):
    """`metav1.Condition`."""

    type: Annotated[str, Meta(max_length=316)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Meta(max_length=1024)]
    message: Annotated[str, Meta(max_length=32768)] = ""
    last_transition_time: Annotated[str, Meta(max_length=64)] = ""
    observed_generation: int = 0


# By type, so that two writers may each have conditions of their own.
Conditions = Annotated[
    tuple[Condition, ...],
    Meta(
        max_length=16,
        extra_json_schema={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    ),
]
