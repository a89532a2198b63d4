"""Outgate in the lab, as its chart installs it: one gateway, a pod, and what it leaves by."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from bench.failover.contestant import Address
from bench.failover.observer import How, Probe
from outgate.lab import Lab, passing, product
from outgate.lab.passing import Kind
from outgate.lab.topology import GATEWAY_LABEL, OUTSIDE, Role
from outgate.vip.engine.election import ranking

PROGRAM = "outgate-vip"
AGENT = "outgate-agent"
GATEWAY = "failover"
POOL = "172.30.0.100-172.30.0.119"
ADDRESS = IPv4Address("172.30.0.110")
POOL6 = "fd00:30::100-fd00:30::11f"
FIRST6, COUNT6 = IPv6Address("fd00:30::100"), 32
POD = "client"
PORT = 8090
"""Of the observer's server on the outside host; the lab's own are 8080 to 8082."""

_API = "outgate.dev/v1beta1"
_SECONDS = 60.0


def gateway(**pools: str) -> dict[str, Any]:
    """The gateway: all gateway nodes of the lab; more pools (`ipv6`) than its IPv4 one."""
    key, value = GATEWAY_LABEL
    return {
        "apiVersion": _API,
        "kind": "EgressGateway",
        "metadata": {"name": GATEWAY},
        "spec": {
            "ippools": {"ipv4": [POOL], **{family: [pool] for family, pool in pools.items()}},
            "nodeSelector": {"selector": {"matchLabels": {key: value}}},
        },
    }


def policy(**addresses: str) -> dict[str, Any]:
    """The pod's policy: everything, by these addresses (`ipv4`, `ipv6`), or the default one."""
    return {
        "apiVersion": _API,
        "kind": "EgressPolicy",
        "metadata": {"name": POD, "namespace": "default"},
        "spec": {
            "egressGatewayName": GATEWAY,
            "appliedTo": {"podSelector": {"matchLabels": {"app": POD}}},
            **({"egressIP": addresses} if addresses else {}),
        },
    }


def beside(address: Address, *, gateway: str, nodes: Collection[str]) -> IPv6Address:
    """An IPv6 address of the pool that each node takes when it takes `address`, so that they stay
    together: a round strikes the one node that holds both.
    """
    names = frozenset(nodes)
    heirs = ranking(gateway, str(address), names)
    pool = (FIRST6 + number for number in range(COUNT6))
    return next(one for one in pool if ranking(gateway, str(one), names) == heirs)


def pod(node: str, name: str = POD) -> dict[str, Any]:
    """A pod that talks to the outside, on that node."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": POD}},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {"name": "main", "image": "localhost/outgate-probe:1", "imagePullPolicy": "Never"}
            ],
        },
    }


class Outgate:
    """The contestant in a lab where Outgate runs: addresses, and pods that leave by them.

    pods: their names in that namespace; the first one is probed from.
    """

    name = "outgate"

    def __init__(
        self, lab: Lab, *addresses: Address, pods: tuple[str, ...], namespace: str = "default"
    ) -> None:
        self._lab = lab
        self._namespace = namespace
        self.addresses = addresses
        self.pods = pods

    def start(self) -> None:
        """It runs."""

    def stop(self) -> None:
        """It is the lab's."""

    def data_path(self, address: Address) -> Probe:
        """The pod asks the outside, by the gateway, and is answered: in the address' family."""
        return Probe(
            How.UDP,
            str(self._lab.pod_netns(self.pods[0], self._namespace)),
            str(self._outside(address)),
            server=str(self._lab.paths.netns(OUTSIDE)),
            port=PORT,
        )

    def _outside(self, address: Address) -> Address:
        own = (one.ip for one in self._lab.topology.host(OUTSIDE).addresses)
        return next(ip for ip in own if ip.version == address.version)

    def leader(self, holder: str) -> str:
        """Where it is: no failback."""
        return holder

    def place(self, node: str) -> None:
        """It is there already: `leader` said so."""

    @contextmanager
    def struck(self, kind: Kind, node: str) -> Iterator[None]:
        """The process that holds addresses; the kubelet starts a killed one again."""
        fault = passing.Fault(kind, node, PROGRAM)
        with passing.happening(self._lab, fault):
            yield


class OutgateCluster(Outgate):
    """The same, with all that it takes. values: of the chart, `--set` form.

    The pods are on a worker, so that their packets reach the gateway by the tunnel.
    """

    def __init__(
        self,
        lab: Lab,
        *,
        report: Callable[[str], None] = lambda _: None,
        values: tuple[str, ...] = (),
        pods: tuple[str, ...] = (POD,),
    ) -> None:
        super().__init__(lab, pods=pods)
        self._report = report
        self._values = values
        self._worker = next(h.name for h in lab.topology.nodes if h.role is Role.WORKER)

    def start(self) -> None:
        """Install it; the outside sees the pods with its addresses when this returns."""
        product.install(self._lab, product.load(self._lab, self._report), values=self._values)
        pools: dict[str, str] = {}
        wanted = {"ipv4": str(ADDRESS)}
        if any(network.version == 6 for network in self._lab.topology.pods):
            nodes = [h.name for h in self._lab.topology.nodes if h.role is Role.GATEWAY]
            pools["ipv6"] = POOL6
            wanted["ipv6"] = str(beside(ADDRESS, gateway=GATEWAY, nodes=nodes))
        pods = (pod(self._worker, name) for name in self.pods)
        items = [gateway(**pools), policy(**wanted), *pods]
        self._lab.apply({"apiVersion": "v1", "kind": "List", "items": items})
        waited = [f"pod/{name}" for name in self.pods]
        self._lab.kubectl("wait", *waited, "--for=condition=Ready", "--timeout=60s")
        self.addresses = self._lab.wait("the policy's addresses", self._promised, timeout=_SECONDS)
        self._lab.wait("the pods to leave by them", self._serves, timeout=_SECONDS)

    def _promised(self) -> tuple[Address, ...]:
        found = self._lab.kubectl_json("get", "egresspolicy", POD)
        given = found.get("status", {}).get("eip", {})
        return tuple(ip_address(given[key]) for key in ("ipv4", "ipv6") if given.get(key))

    def _serves(self) -> bool:
        return all(
            self._lab.probe(name, "udp", self._outside(address), timeout=1.0).source == address
            for name in self.pods
            for address in self.addresses
        )
