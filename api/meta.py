"""What every Kubernetes object of ours shares: metadata, label selectors, conditions.

Wire form only: strings stay strings here. Addresses are parsed at the edge that needs them
(`outgate.api.net`), so that one malformed object can be skipped and named, not half-read.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

GROUP = "outgate.dev"
VERSION = "v1beta1"
API_VERSION = f"{GROUP}/{VERSION}"

NAME_MAX = 253  # RFC 1123 subdomain, as Kubernetes uses it for object names
LABEL_MAX = 63  # RFC 1123 label


class Wire(
    msgspec.Struct,
    frozen=True,
    rename="camel",
    omit_defaults=True,
    gc=False,
):
    """Base of all wire values: immutable, camelCase outside, absent fields left out."""


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


LabelValue = Annotated[str, Meta(max_length=LABEL_MAX)]
LabelKey = Annotated[str, Meta(min_length=1, max_length=NAME_MAX + 1 + LABEL_MAX)]


class Requirement(Wire, frozen=True, kw_only=True):
    """One `matchExpressions` entry of a label selector."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Annotated[tuple[LabelValue, ...], Meta(max_length=64)] = ()


class LabelSelector(Wire, frozen=True, kw_only=True):
    """Kubernetes' label selector: all labels and all expressions must hold; empty selects all."""

    match_labels: Annotated[dict[LabelKey, LabelValue], Meta(max_length=64)] = {}
    match_expressions: Annotated[tuple[Requirement, ...], Meta(max_length=32)] = ()


class Condition(Wire, frozen=True, kw_only=True):
    """`metav1.Condition`."""

    type: Annotated[str, Meta(max_length=316)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Meta(max_length=1024)]
    message: Annotated[str, Meta(max_length=32768)] = ""
    last_transition_time: str = ""
    observed_generation: int = 0
