"""What the end-to-end tests share: client and server pods, policies that clean up, probes."""

import contextlib
import functools
import http.client
import itertools
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from outgate.lab import Lab, netns, processes
from outgate.lab.probe import Answer, Protocol
from outgate.lab.probe import ask as ask_from
from outgate.lab.topology import Address

NAMESPACE = "e2e"
IMAGE = "localhost/outgate-probe:1"
OUTSIDE = {4: "203.0.113.10", 6: "2001:db8:cafe::10"}
OUTSIDE_OTHER = {4: "203.0.113.20", 6: "2001:db8:cafe::20"}
FAMILIES = (4, 6)
NODES = ("gw1", "gw2", "w1")
CLIENTS = tuple(f"client-{node}" for node in NODES)
SETTLE_SECONDS = 60.0
VIP, AGENT = "outgate-vip", "outgate-agent"
LEASE = 0.25
"""Seconds that vip processes may wait for a CPU, in all of a test, and still hold addresses: by
default, their kernels let go after that. No fault of what the test is about."""

METRICS_PORT = 7791

Json = dict[str, Any]


def pod(
    name: str,
    node: str,
    labels: Mapping[str, str],
    *,
    serve: bool = False,
    namespace: str = NAMESPACE,
    host_network: bool = False,
) -> Json:
    """A pod manifest, pinned to a node."""
    container: Json = {"name": "main", "image": IMAGE, "imagePullPolicy": "Never"}
    if serve:
        container["args"] = ["serve", ":8080"]
        container["readinessProbe"] = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {
            "nodeName": node,
            "hostNetwork": host_network,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "containers": [container],
        },
    }


def populate(lab: Lab) -> None:
    """The namespace `e2e` with a client on each node, two servers and a Service, all answering."""
    lab.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    servers = [pod(f"server-{node}", node, {"app": "server"}, serve=True) for node in ("gw1", "w1")]
    clients = [
        pod(name, node, {"app": "client", "pod": name})
        for name, node in zip(CLIENTS, NODES, strict=True)
    ]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server", "namespace": NAMESPACE},
        "spec": {
            "selector": {"app": "server"},
            "ports": [{"port": 80, "targetPort": 8080}],
            "ipFamilyPolicy": "PreferDualStack",
        },
    }
    lab.kubectl(
        "wait", "--for=create", "serviceaccount/default", "--namespace", NAMESPACE, "--timeout=30s"
    )
    lab.apply({"apiVersion": "v1", "kind": "List", "items": [*servers, *clients, service]})
    lab.kubectl(
        "wait", "pods", "--all", "--namespace", NAMESPACE, "--for=condition=Ready", "--timeout=60s"
    )
    world = World(lab)
    for client, family in itertools.product(CLIENTS, families_of(lab)):
        # kube-proxy is there a moment after the pods.
        lab.wait("the Service to answer", functools.partial(_served, world, client, family))


def _served(world: "World", client: str, family: int) -> bool:
    try:
        return "server-" in world.fetch(client, world.cluster_ip(family), 80)
    except OSError:
        return False


def families_of(lab: Lab) -> tuple[int, ...]:
    """The address families of the lab's pods."""
    return tuple(network.version for network in lab.topology.pods)


def gateway(lab: Lab) -> Json:
    """The manifest of the gateway `default`, with pools in the lab's families."""
    pools: dict[int, Json] = {
        4: {
            "ipv4": ["172.30.0.100-172.30.0.119"],
            "ipv4DefaultEIP": "172.30.0.110",
        },
        6: {
            "ipv6": ["fd00:30::100-fd00:30::11f"],
            "ipv6DefaultEIP": "fd00:30::110",
        },
    }
    reserved = {4: "172.30.0.119", 6: "fd00:30::11f"}
    families = families_of(lab)
    return {
        "apiVersion": "outgate.dev/v1beta1",
        "kind": "EgressGateway",
        "metadata": {"name": "default"},
        "spec": {
            "ippools": {
                **{key: value for family in families for key, value in pools[family].items()},
                "reserved": [reserved[family] for family in families],
            },
            "nodeSelector": {"selector": {"matchLabels": {"egressgateway": "true"}}},
        },
    }


def selected(**labels: str) -> Json:
    """`appliedTo` for pods with these labels."""
    return {"podSelector": {"matchLabels": labels}}


@dataclass(frozen=True)
class World:
    """A lab with Outgate in it, and the pods of the namespace `e2e`."""

    lab: Lab

    # Objects

    def apply(self, *objects: Json) -> None:
        """Apply objects in one call."""
        self.lab.apply({"apiVersion": "v1", "kind": "List", "items": list(objects)})

    def policy(
        self, name: str, spec: Json, *, kind: str = "EgressPolicy", namespace: str = NAMESPACE
    ) -> Json:
        """A policy's manifest, on gateway `default` unless the spec says otherwise."""
        metadata: Json = {"name": name}
        if kind == "EgressPolicy":
            metadata["namespace"] = namespace
        return {
            "apiVersion": "outgate.dev/v1beta1",
            "kind": kind,
            "metadata": metadata,
            "spec": {"egressGatewayName": "default", **spec},
        }

    @contextlib.contextmanager
    def having(self, *objects: Json, ready: bool = True) -> Iterator[list[Json]]:
        """These objects (with Ready status, for policies) while the block runs."""
        self.apply(*objects)
        try:
            yield [self.wait_condition(o) for o in objects] if ready else []
        finally:
            for o in reversed(objects):
                self.delete(o)

    def delete(self, o: Json) -> None:
        """Delete an object; no complaint if it is gone."""
        self.lab.kubectl("delete", "--ignore-not-found", *self._place(o))

    def get(self, o: Json) -> Json:
        """The object as the API server has it."""
        return self.lab.kubectl_json("get", *self._place(o))

    def condition(self, o: Json, type_: str = "Ready") -> Json:
        """A condition of the current generation, or an empty one."""
        return _condition(self.get(o), type_)

    def wait_condition(self, o: Json, status: str = "True", reason: str = "") -> Json:
        """The object once its Ready condition has that status (and reason)."""

        def there() -> Json:
            found = self.get(o)
            condition = _condition(found, "Ready")
            fits = condition.get("status") == status and reason in ("", condition.get("reason"))
            return found if fits else {}

        return self.lab.wait(
            f"{o['kind']} {o['metadata']['name']} Ready={status} {reason}",
            there,
            timeout=SETTLE_SECONDS,
        )

    @staticmethod
    def _place(o: Json) -> tuple[str, ...]:
        namespace = o["metadata"].get("namespace")
        place = (f"{o['kind']}.{_group(o)}", o["metadata"]["name"])
        return (*place, "--namespace", namespace) if namespace else place

    # Probes

    def source(
        self,
        pod_name: str,
        family: int = 4,
        *,
        protocol: Protocol = Protocol.HTTP,
        to: str = "",
        namespace: str = NAMESPACE,
        timeout: float = 2.0,
    ) -> str:
        """The source address that the outside saw; empty if nothing came back."""
        answer: Answer = self.lab.probe(
            pod_name, protocol, to or OUTSIDE[family], namespace=namespace, timeout=timeout
        )
        return str(answer.source) if answer else ""

    def wait_source(
        self,
        pod_name: str,
        expected: str,
        family: int = 4,
        *,
        to: str = "",
        namespace: str = NAMESPACE,
    ) -> None:
        """Until the outside sees `expected` (empty: until nothing comes back)."""
        seen: list[str] = []

        def fits() -> bool:
            seen[:] = [self.source(pod_name, family, to=to, namespace=namespace, timeout=1.0)]
            return seen == [expected]

        self.lab.wait(
            f"{pod_name} to be seen as {expected or 'nobody'} (IPv{family})",
            fits,
            timeout=SETTLE_SECONDS,
        )

    def node_address(self, node: str, family: int) -> str:
        """A node's own address."""
        return next(str(i.ip) for i in self.lab.node(node).addresses if i.version == family)

    def node_source(self, node: str, family: int) -> str:
        """What the outside sees of a process on the node itself."""
        answer = ask_from(
            self.lab.paths.netns(node), Protocol.HTTP, ip_address(OUTSIDE[family]), timeout=2.0
        )
        return str(answer.source)

    def cluster_ip(self, family: int) -> str:
        """The Service's address."""
        service = self.lab.kubectl_json("get", "service", "server", "--namespace", NAMESPACE)
        return next(
            str(ip) for ip in service["spec"]["clusterIPs"] if ip_address(ip).version == family
        )

    def pod_address(self, name: str, family: int, *, namespace: str = NAMESPACE) -> str:
        """A pod's address."""
        ips = self.lab.kubectl_json("get", "pod", name, "--namespace", namespace)["status"][
            "podIPs"
        ]
        return next(str(ip["ip"]) for ip in ips if ip_address(ip["ip"]).version == family)

    def fetch(
        self, pod_name: str, address: str, port: int = 8080, *, namespace: str = NAMESPACE
    ) -> str:
        """The body of `http://address:port/`, asked from inside a pod."""
        target = ip_address(address)
        family = socket.AF_INET if target.version == 4 else socket.AF_INET6
        with netns.open_socket(
            self.lab.pod_netns(pod_name, namespace), family, socket.SOCK_STREAM
        ) as stream:
            stream.settimeout(3.0)
            stream.connect((address, port))
            return _get(stream, address, port, "/")

    def metrics(self, node: str) -> dict[tuple[str, ...], float]:
        """What a node's agent exports: the values, by name and by the labels' values."""
        with netns.open_socket(
            self.lab.paths.netns(node), socket.AF_INET, socket.SOCK_STREAM
        ) as stream:
            stream.settimeout(3.0)
            stream.connect(("127.0.0.1", METRICS_PORT))
            text = _get(stream, "127.0.0.1", METRICS_PORT, "/metrics")
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def waited(self, *programs: str) -> float:
        """Seconds that vip processes (or these) have waited for a CPU so far, together."""
        total = 0
        for thread in self.threads(*programs or (VIP,)):
            with contextlib.suppress(OSError):  # a thread that has ended
                # proc(5): time on a CPU, time waiting for one (ns), how often it got one
                total += int(Path(f"/proc/{thread}/schedstat").read_text().split()[1])
        return total / 1e9

    def threads(self, *programs: str) -> list[int]:
        """The threads of programs on all nodes, as the machine numbers them."""
        return [
            int(thread.name)
            for host in self.lab.topology.nodes
            for program in programs
            for pid in processes.running(self.lab.paths, host.name, program)
            for thread in Path(f"/proc/{pid}/task").glob("*")
        ]

    def lapsed(self, gateway: str) -> float:
        """How many of a gateway's addresses have lapsed so far, as nodes lost their right: without
        a fault, a machine that is too busy does that. Who is no member any more has forgotten his.
        """
        name = ("outgate_vip_released_addresses_total", gateway, "lapsed")
        return sum(self.metrics(node).get(name, 0.0) for node in NODES)

    def holders(self, address: Address | str) -> tuple[str, ...]:
        """The nodes that have an address on their LAN interface."""
        return tuple(
            host.name
            for host in self.lab.topology.nodes
            if f" {address}/" in self.lab.exec(host.name, "ip", "-o", "address", "show", "eth0")
        )


def _get(stream: socket.socket, address: str, port: int, path: str) -> str:
    connection = http.client.HTTPConnection(address, port)
    connection.sock = stream
    connection.request("GET", path)
    return connection.getresponse().read().decode()


def _group(o: Json) -> str:
    return str(o["apiVersion"]).rpartition("/")[0]


def _condition(found: Json, type_: str) -> Json:
    generation = found["metadata"].get("generation", 0)
    for condition in found.get("status", {}).get("conditions", ()):
        if condition["type"] == type_ and condition.get("observedGeneration", 0) >= generation:
            return dict(condition)
    return {}
