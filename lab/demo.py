"""The main job, shown: cluster, chart, examples, and a table of what the outside sees."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from outgate.lab import product
from outgate.lab.api import Json
from outgate.lab.errors import LabError, LabTimeout
from outgate.lab.expectation import DROPPED, Rule, expected, rules
from outgate.lab.lab import Lab
from outgate.lab.options import Options
from outgate.lab.probe import Protocol
from outgate.lab.topology import OUTSIDE, Address

SETTLE_SECONDS = 60.0
APPLY_SECONDS = 30.0
PROBE_SECONDS = 1.0
PROBES_AT_ONCE = 8
TABLE_WIDTH = 120

BYSTANDER: Json = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "bystander", "namespace": "default", "labels": {"app": "bystander"}},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "main",
                "image": "localhost/outgate-probe:1",
                "imagePullPolicy": "Never",
            }
        ],
    },
}
"""A pod that no example policy matches: it leaves as before."""


@dataclass(frozen=True, slots=True)
class Row:
    """One question asked from a pod, and what ought to come of it."""

    pod: str
    node: str
    destination: Address
    seen: str
    expected: str

    @property
    def good(self) -> bool:
        """Whether the outside saw what the policy promises."""
        return self.seen == self.expected


def run(options: Options, report: Callable[[str], None]) -> bool:
    """Show the main job; False if any source address was another than expected."""
    began = time.monotonic()
    console = Console(width=TABLE_WIDTH)
    lab = Lab.up(options, report=report)
    archive = product.load(lab, report)
    report("helm install outgate charts/outgate")
    product.install(lab, archive)
    report("kubectl apply -f examples/")
    _apply_examples(lab)
    first = _settled(lab)
    console.print(_table("The examples", first))
    if any(row.expected == DROPPED for row in first):
        report(
            f"{DROPPED}: the policy has no address in that family (its gateway has no such pool), "
            "so its pods are closed there"
        )

    report("kubectl patch egresspolicy fixed-address: 172.30.0.105 becomes 172.30.0.108")
    lab.kubectl(
        "patch",
        "egresspolicy",
        "fixed-address",
        "--type=merge",
        "--patch",
        '{"spec": {"egressIP": {"ipv4": "172.30.0.108"}}}',
    )
    report("kubectl delete egresspolicy test: the visitors leave by their nodes again")
    lab.kubectl("delete", "egresspolicy", "test")
    second = _settled(lab)
    console.print(_table("One policy edited, one deleted", second))

    rows = [*first, *second]
    wrong = [row for row in rows if not row.good]
    report(
        f"{len(rows) - len(wrong)} of {len(rows)} as expected, "
        f"{time.monotonic() - began:.0f} s in all"
    )
    return not wrong


def next_steps(name: str) -> str:
    """What to try on the lab that the demonstration leaves up."""
    lab = "outgate-lab" if name == Options().name else f"OUTGATE_LAB={name} outgate-lab"
    return f"""The lab is still up. Try, with .venv/bin in your PATH:
  {lab} status
  {lab} kubectl get egw,egp,egcp,egt --all-namespaces
  {lab} kubectl exec deploy/visitor -- probe get http://203.0.113.10:8080
  {lab} kubectl apply -f examples/03-policy.yaml
  {lab} capture outside tcp port 8080
  {lab} exec gw1 -- nft list table inet outgate
Take it down: {"make lab-down" if name == Options().name else f"{lab} down"}"""


def _apply_examples(lab: Lab) -> None:
    lab.kubectl("apply", "-f", str(product.CHECKOUT / "examples"), timeout=APPLY_SECONDS)
    lab.apply(BYSTANDER)
    for kind in ("deployments", "pods"):
        condition = "Available" if kind == "deployments" else "Ready"
        lab.kubectl(
            "wait",
            kind,
            "--all",
            "--all-namespaces",
            f"--for=condition={condition}",
            f"--timeout={SETTLE_SECONDS:.0f}s",
            timeout=SETTLE_SECONDS + 10,
        )


def _settled(lab: Lab) -> list[Row]:
    """The rows once all are good, or as they are after the deadline: then some are bad."""
    rows: list[Row] = []

    def good() -> bool:
        rows[:] = _rows(lab)
        return _answered(lab) and all(row.good for row in rows)

    try:
        lab.wait("the examples to be programmed", good, timeout=SETTLE_SECONDS)
    except LabTimeout:
        for policy in _policies(lab):
            if not _ready(policy):
                message = [c.get("message") for c in policy.get("status", {}).get("conditions", ())]
                print(f"{policy['kind']} {policy['metadata']['name']} is not Ready: {message}")
    if not rows:
        raise LabError("no example pod is running: kubectl get pods --all-namespaces")
    return rows


def _rows(lab: Lab) -> Iterable[Row]:
    asked = rules(lab)
    pods = lab.kubectl_json("get", "pods", "--all-namespaces")["items"]
    questions = [question for pod in pods for question in _questions(lab, asked, pod)]
    with ThreadPoolExecutor(max_workers=PROBES_AT_ONCE) as pool:
        return list(pool.map(lambda question: _ask(lab, asked, *question), questions))


def _questions(
    lab: Lab, asked: Iterable[Rule], pod: Json
) -> Iterator[tuple[tuple[str, str], str, Address]]:
    """What to ask from a pod: an outside address of each family, and the other ones as well
    where a policy tells destinations apart.
    """
    name = (pod["metadata"]["namespace"], pod["metadata"]["name"])
    if name[0] in ("kube-system", product.NAMESPACE) or pod["spec"].get("hostNetwork"):
        return
    choosy = any(name in rule.pods and (rule.destinations or rule.exclusions) for rule in asked)
    families: set[int] = set()
    for destination in (interface.ip for interface in lab.topology.host(OUTSIDE).addresses):
        if choosy or destination.version not in families:
            yield name, pod["spec"]["nodeName"], destination
        families.add(destination.version)


def _ask(
    lab: Lab, asked: Iterable[Rule], pod: tuple[str, str], node: str, destination: Address
) -> Row:
    namespace, name = pod
    own = next(i.ip for i in lab.node(node).addresses if i.version == destination.version)
    answer = lab.probe(name, Protocol.HTTP, destination, namespace=namespace, timeout=PROBE_SECONDS)
    return Row(
        pod=f"{namespace}/{name}",
        node=node,
        destination=destination,
        seen=str(answer.source) if answer else DROPPED,
        expected=expected(asked, pod, destination, own),
    )


def _answered(lab: Lab) -> bool:
    return all(_ready(policy) for policy in _policies(lab))


def _policies(lab: Lab) -> list[Json]:
    found = lab.kubectl_json("get", "egresspolicies,egressclusterpolicies", "--all-namespaces")
    return list(found["items"])


def _ready(policy: Json) -> bool:
    return any(
        condition["type"] == "Ready"
        and condition["status"] == "True"
        and condition.get("observedGeneration", 0) >= policy["metadata"]["generation"]
        for condition in policy.get("status", {}).get("conditions", ())
    )


def _table(title: str, rows: Iterable[Row]) -> Table:
    table = Table(
        "pod", "node", "destination", "source seen", "source expected", "verdict", title=title
    )
    for row in rows:
        table.add_row(
            row.pod,
            row.node,
            str(row.destination),
            row.seen,
            row.expected,
            "[green]ok[/]" if row.good else "[red]WRONG[/]",
        )
    return table
