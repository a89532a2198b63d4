"""Outgate in the lab, as its chart installs it: one gateway, a pod, and what it leaves by."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, ip_address
from typing import Any

from bench.failover.observer import How, Probe
from outgate.lab import Lab, passing, product
from outgate.lab.passing import Kind
from outgate.lab.topology import GATEWAY_LABEL, OUTSIDE, Role

PROGRAM = "outgate-vip"
AGENT = "outgate-agent"
GATEWAY = "failover"
POOL = "172.30.0.100-172.30.0.119"
POD = "client"
PORT = 8090
"""Of the observer's server on the outside host; the lab's own are 8080 to 8082."""

_API = "outgate.dev/v1beta1"
_SECONDS = 60.0


def gateway() -> dict[str, Any]:
    """The gateway: all gateway nodes of the lab."""
    key, value = GATEWAY_LABEL
    return {
        "apiVersion": _API,
        "kind": "EgressGateway",
        "metadata": {"name": GATEWAY},
        "spec": {
            "ippools": {"ipv4": [POOL]},
            "nodeSelector": {"selector": {"matchLabels": {key: value}}},
        },
    }


def policy() -> dict[str, Any]:
    """The pod's policy: everything, by the gateway's default address."""
    return {
        "apiVersion": _API,
        "kind": "EgressPolicy",
        "metadata": {"name": POD, "namespace": "default"},
        "spec": {
            "egressGatewayName": GATEWAY,
            "appliedTo": {"podSelector": {"matchLabels": {"app": POD}}},
        },
    }


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
    """The contestant in a lab where Outgate runs: an address, and pods that leave by it.

    pods: their names in that namespace; the first one is probed from.
    """

    name = "outgate"

    def __init__(
        self, lab: Lab, address: IPv4Address, *, pods: tuple[str, ...], namespace: str = "default"
    ) -> None:
        self._lab = lab
        self._namespace = namespace
        self.address = address
        self.pods = pods

    def start(self) -> None:
        """It runs."""

    def stop(self) -> None:
        """It is the lab's."""

    def data_path(self) -> Probe:
        """The pod asks the outside, by the gateway, and is answered."""
        return Probe(
            How.UDP,
            str(self._lab.pod_netns(self.pods[0], self._namespace)),
            str(self._lab.outside),
            server=str(self._lab.paths.netns(OUTSIDE)),
            port=PORT,
        )

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
        super().__init__(lab, IPv4Address("0.0.0.0"), pods=pods)
        self._report = report
        self._values = values
        self._worker = next(h.name for h in lab.topology.nodes if h.role is Role.WORKER)

    def start(self) -> None:
        """Install it; the outside sees the pod with the address when this returns."""
        product.install(self._lab, product.load(self._lab, self._report), values=self._values)
        items = [gateway(), policy(), *(pod(self._worker, name) for name in self.pods)]
        self._lab.apply({"apiVersion": "v1", "kind": "List", "items": items})
        waited = [f"pod/{name}" for name in self.pods]
        self._lab.kubectl("wait", *waited, "--for=condition=Ready", "--timeout=60s")
        self.address = IPv4Address(
            self._lab.wait("the policy's address", self._promised, timeout=_SECONDS)
        )
        self._lab.wait("the pod to leave by it", self._serves, timeout=_SECONDS)

    def _promised(self) -> str:
        found = self._lab.kubectl_json("get", "egresspolicy", POD)
        address = found.get("status", {}).get("eip", {}).get("ipv4", "")
        return str(ip_address(address)) if address else ""

    def _serves(self) -> bool:
        answers = (self._lab.probe(name, "udp", timeout=1.0) for name in self.pods)
        return all(answer.source == self.address for answer in answers)
