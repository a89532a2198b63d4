"""EgressEndpointSlice and EgressClusterEndpointSlice: the pods that a policy matches.

For people and tools: the data path does not read them.
"""

from typing import Annotated

from msgspec import Meta

from outgate.api.meta import NAME_MAX, ObjectMeta, Wire

ENDPOINTS_MAX = 100

POLICY_LABEL = "outgate.dev/policy"


class Endpoint(Wire, frozen=True, kw_only=True):
    """A matched pod."""

    ns: Annotated[str, Meta(max_length=NAME_MAX)]
    pod: Annotated[str, Meta(max_length=NAME_MAX)]
    node: Annotated[str, Meta(max_length=NAME_MAX)] = ""
    ipv4: Annotated[tuple[str, ...], Meta(max_length=8)] = ()
    ipv6: Annotated[tuple[str, ...], Meta(max_length=8)] = ()


Endpoints = Annotated[tuple[Endpoint, ...], Meta(max_length=ENDPOINTS_MAX)]


class EgressEndpointSlice(Wire, frozen=True, kw_only=True):
    """At most 100 of the pods that an EgressPolicy matches."""

    metadata: ObjectMeta
    endpoints: Endpoints = ()


class EgressClusterEndpointSlice(Wire, frozen=True, kw_only=True):
    """At most 100 of the pods that an EgressClusterPolicy matches."""

    metadata: ObjectMeta
    endpoints: Endpoints = ()
