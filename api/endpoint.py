"""EgressEndpointSlice and EgressClusterEndpointSlice: the pods that a policy matches.

For people and tools: the data path does not read them.
"""

from typing import Annotated

from msgspec import Meta

from outgate.api.cel import checked
from outgate.api.meta import NAME_MAX, ObjectMeta, Wire
from outgate.api.netrules import plain_address

ENDPOINTS_MAX = 100

POLICY_LABEL = "outgate.dev/policy"


PodAddress4 = Annotated[str, Meta(max_length=45, extra_json_schema=checked(plain_address(4)))]
PodAddress6 = Annotated[str, Meta(max_length=45, extra_json_schema=checked(plain_address(6)))]


class Endpoint(Wire, frozen=True, kw_only=True):
    """A matched pod."""

    ns: Annotated[str, Meta(max_length=NAME_MAX)]
    pod: Annotated[str, Meta(max_length=NAME_MAX)]
    node: Annotated[str, Meta(max_length=NAME_MAX)] = ""
    ipv4: Annotated[tuple[PodAddress4, ...], Meta(max_length=8)] = ()
    ipv6: Annotated[tuple[PodAddress6, ...], Meta(max_length=8)] = ()


Endpoints = Annotated[tuple[Endpoint, ...], Meta(max_length=ENDPOINTS_MAX)]


class EgressEndpointSlice(Wire, frozen=True, kw_only=True):
    """At most 100 of the pods that an EgressPolicy matches."""

    metadata: ObjectMeta
    endpoints: Endpoints = ()


class EgressClusterEndpointSlice(Wire, frozen=True, kw_only=True):
    """At most 100 of the pods that an EgressClusterPolicy matches."""

    metadata: ObjectMeta
    endpoints: Endpoints = ()
