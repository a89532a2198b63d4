"""What the API server says to an object, without keeping it."""

from dataclasses import dataclass

import urllib3
from apiserver.harness import SERVER, TOKEN
from apiserver.objects import Object

from outgate.api.kinds import OURS

PLURALS = {kind.name: kind.plural for kind in OURS}


@dataclass(frozen=True, slots=True)
class Admission:
    """Asks as kubectl does: a dry run, with strict field validation."""

    http: urllib3.PoolManager

    @classmethod
    def connect(cls) -> "Admission":
        """Of the API server in this network namespace, whose certificate is its own."""
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return cls(urllib3.PoolManager(cert_reqs="CERT_NONE"))

    def refusal(self, object_: Object) -> str:
        """Why the object is refused; empty if it is taken."""
        namespace = object_["metadata"].get("namespace")
        place = f"namespaces/{namespace}/" if namespace else ""
        answer = self.http.request(
            "POST",
            f"{SERVER}/apis/{object_['apiVersion']}/{place}{PLURALS[object_['kind']]}"
            "?dryRun=All&fieldValidation=Strict",
            json=object_,
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        return "" if answer.status == 201 else str(answer.json()["message"])
