"""`outgate-agent dump`: asks the agent that runs on this node, and says it to a human.

Reads `/debug/plan` (see `outgate.agent.plan_page`) and nothing else: neither kernel nor API.
"""

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any

from outgate.agent.errors import AgentError

Json = Mapping[str, Any]

TIMEOUT = 30.0
"""Seconds that the agent may take: with 10,000 policies it reads the kernel for one."""

NO_EGRESS = 65535


class AgentAway(AgentError):
    """No agent answers on this node; the message says where it was looked for."""


def ask(port: int, *, path: str) -> Json:
    """What the agent on this port of this host says. Raises AgentAway."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    where = f"http://127.0.0.1:{port}{path}"
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        if response.status != http.HTTPStatus.OK:
            raise AgentAway(f"{where} answers {response.status}: is that an agent's port?")
        document: Json = json.loads(body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise AgentAway(
            f"no agent answers at {where} ({error}): dump is run where an agent runs, as in "
            f"'kubectl exec POD -c agent -- outgate-agent dump', with its --http-port"
        ) from error
    finally:
        connection.close()
    return document


def text(document: Json) -> str:
    """The document in lines: a summary, then the difference."""
    return "".join(f"{line}\n" for line in _lines(document))


def _lines(document: Json) -> Iterator[str]:
    yield f"node {document['node']}"
    if document.get("problem"):
        yield f"problem: {document['problem']}"
    if "view" not in document:
        return
    view = document["view"]
    yield from _pods(view)
    yield from _egress(view)
    yield from _addresses(document, view)
    yield ""
    yield from _difference(document["difference"])


def _pods(view: Json) -> Iterator[str]:
    by_class: dict[int, list[str]] = {}
    for address, pod in view["pods"].items():
        by_class.setdefault(pod["class"], []).append(address)
    yield f"{len(view['pods'])} pod addresses under policies, in {len(by_class)} classes"
    for id_, addresses in sorted(by_class.items()):
        policies = ", ".join(view["classes"][str(id_)])
        yield f"  class {id_}: {policies}"
        for address in addresses:
            yield f"    {address}"
    for key, policy in view["policies"].items():
        to = ", ".join(policy["destinations"]) or "everywhere outside"
        but = ", ".join(policy["exclusions"])
        yield f"policy {key}: to {to}{f' but {but}' if but else ''}"
        yield f"  egress id {_id(policy['egress4'])} (IPv4), {_id(policy['egress6'])} (IPv6)"


def _egress(view: Json) -> Iterator[str]:
    yield f"{len(view['nextHops'])} egress ids have a next hop"
    for id_, node in view["nextHops"].items():
        yield f"  {id_} -> {node}"


def _addresses(document: Json, view: Json) -> Iterator[str]:
    said = {one["address"]: one for one in document["addresses"]}
    here = {int(id_) for id_, node in view["nextHops"].items() if node == document["node"]}
    all_ = [(each["id"], address) for each in view["held"] for address in each["addresses"]]
    held = [(id_, address) for id_, address in all_ if id_ in here]
    yield f"{len(held)} addresses are held here; {len(all_) - len(held)} may come to be"
    for id_, address in held:
        match said.get(address):
            case None:
                where = "the node's own, or the vip process has not said"
            case {"error": error} if error:
                where = f"NOT HELD: {error}"
            case one:
                where = f"on {one['interface']}"
        yield f"  {address} (egress id {id_}): {where}"


def _difference(difference: Json) -> Iterator[str]:
    rules, mesh = difference["rules"], difference["mesh"]
    if not rules and not mesh:
        yield "the kernel holds what is planned"
        return
    yield "the kernel differs from the plan; this would repair it:"
    for operation in mesh:
        yield f"  {_words(operation)}"
    for line in rules:
        yield f"  nft {line}"


def _words(operation: Json) -> str:
    named = {"operation", "kind"}
    subject = operation.get("object") or operation.get("link") or operation
    facts = " ".join(f"{name}={value}" for name, value in subject.items() if name not in named)
    return " ".join(filter(None, (operation["operation"], operation.get("kind"), facts)))


def _id(id_: int) -> str:
    return "none, dropped" if id_ == NO_EGRESS else str(id_)
