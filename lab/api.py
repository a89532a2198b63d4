"""A very small client of the lab's API server: JSON in, JSON out, as the administrator."""

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from typing import Any

from outgate.lab import netns
from outgate.lab.errors import LabError
from outgate.lab.paths import Paths
from outgate.lab.pki import API_PORT
from outgate.lab.topology import CONTROL_PLANE

Json = dict[str, Any]
REQUEST_SECONDS = 10.0


class ApiUnavailable(LabError):
    """The API server does not answer (yet, or any more)."""


class Api:
    """Requests from inside the control plane's namespace, each on a connection of its own."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._tls = ssl.create_default_context(cafile=str(paths.pki / "ca.crt"))
        self._tls.load_cert_chain(paths.pki / "admin.crt", paths.pki / "admin.key")

    def get(self, path: str) -> Json:
        """An object or a list."""
        return self._json("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Json:
        """Create an object; one that exists already is left as it is."""
        return self._json("POST", path, body)

    def is_ready(self) -> bool:
        """Whether the API server says that it is ready; False also while it is unreachable."""
        try:
            status, _ = self._request("GET", "/readyz", None)
        except ApiUnavailable:
            return False
        return status == http.client.OK

    def exists(self, path: str) -> bool:
        """Whether there is an object at `path`."""
        status, _ = self._request("GET", path, None)
        return status == http.client.OK

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None) -> Json:
        status, text = self._request(method, path, body)
        if status >= http.client.BAD_REQUEST and not (
            method == "POST" and status == http.client.CONFLICT
        ):
            raise LabError(f"the API server refused {method} {path}: {status} {text.strip()}")
        answer: Json = json.loads(text)
        return answer

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, str]:
        connection = http.client.HTTPSConnection("localhost", API_PORT, timeout=REQUEST_SECONDS)
        try:
            plain = netns.open_socket(
                self._paths.netns(CONTROL_PLANE), socket.AF_INET, socket.SOCK_STREAM
            )
            plain.settimeout(REQUEST_SECONDS)
            plain.connect(("127.0.0.1", API_PORT))
            connection.sock = self._tls.wrap_socket(plain, server_hostname="localhost")
            connection.request(
                method,
                path,
                json.dumps(body) if body else None,
                {"Content-Type": "application/json"},
            )
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise ApiUnavailable(f"{method} {path}: {error}") from error
        finally:
            connection.close()
