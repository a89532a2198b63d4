"""Objects as users write them: small good ones, and what each test changes about them."""

from typing import Any

from outgate.api.meta import API_VERSION

Object = dict[str, Any]

VISITORS = {"matchLabels": {"app": "visitor"}}


def gateway(*, selector: Any = None, **ippools: Any) -> Object:
    """An EgressGateway with these pools."""
    spec: Object = {"nodeSelector": {"selector": selector or {}}, "ippools": ippools}
    return _object("EgressGateway", "default", spec=spec)


def probing(**health_probes: Any) -> Object:
    """An EgressGateway with these `healthProbes`."""
    spec: Object = {"nodeSelector": {"selector": {}}, "healthProbes": health_probes}
    return _object("EgressGateway", "default", spec=spec)


def policy(*, name: str = "test", applied_to: Any = None, **spec: Any) -> Object:
    """An EgressPolicy for the visitor pods, or for those of `applied_to`."""
    chosen = {"podSelector": VISITORS} if applied_to is None else applied_to
    made = _object("EgressPolicy", name, spec={"appliedTo": chosen, **spec})
    return {**made, "metadata": {"name": name, "namespace": "default"}}


def cluster_policy(*, name: str = "test", applied_to: Any = None, **spec: Any) -> Object:
    """An EgressClusterPolicy for the visitor pods, or for those of `applied_to`."""
    chosen = {"podSelector": VISITORS} if applied_to is None else applied_to
    return _object("EgressClusterPolicy", name, spec={"appliedTo": chosen, **spec})


def selecting(**selector: Any) -> Object:
    """An EgressPolicy with this label selector."""
    return policy(applied_to={"podSelector": selector})


def requiring(**requirement: Any) -> Object:
    """An EgressPolicy with this one entry of `matchExpressions`."""
    return selecting(matchExpressions=[requirement])


def tunnel(**spec: Any) -> Object:
    """An EgressTunnel; without arguments a good one."""
    return _object("EgressTunnel", "node-a", spec={"index": 1, "mac": "02:00:5e:00:53:01", **spec})


def cluster_info(*, name: str = "default", **spec: Any) -> Object:
    """The EgressClusterInfo."""
    return _object("EgressClusterInfo", name, spec=spec)


def endpoint_slice(*endpoints: Object) -> Object:
    """An EgressEndpointSlice."""
    made = _object("EgressEndpointSlice", "test-1", endpoints=list(endpoints))
    return {**made, "metadata": {"name": "test-1", "namespace": "default"}}


def endpoint(pod: str = "visitor-1", **fields: Any) -> Object:
    """One endpoint of a slice."""
    return {"ns": "default", "pod": pod, "node": "node-a", **fields}


def cluster_endpoint_slice(*endpoints: Object) -> Object:
    """An EgressClusterEndpointSlice."""
    return _object("EgressClusterEndpointSlice", "test-1", endpoints=list(endpoints))


def _object(kind: str, name: str, **rest: Any) -> Object:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, **rest}
