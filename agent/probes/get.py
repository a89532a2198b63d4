"""One HTTP GET: asks a URL, looks at the status of its answer."""

from threading import Event

import urllib3

AGENT = "outgate-probe"
GOOD = range(200, 400)
"""Statuses that count as an answer, as for kubelet's HTTP probes."""

# A probe asks whether the way out works: whose certificate answers does not matter for that, and a
# router's page rarely has a good one. Warnings of it would be one line for each probe.
urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)


def get(target: str, *, patience: float, stop: Event) -> str:
    """Why the URL does not answer within `patience` seconds; "" if it does, or `stop` is set.

    Each time by a connection of its own, since an old one may live where a new one would not; the
    body is not read. Never raises for what the network or the server says.
    """
    if stop.is_set():
        return ""
    try:
        with urllib3.PoolManager(cert_reqs="CERT_NONE", assert_hostname=False) as http:
            answer = http.request(
                "GET",
                target,
                headers={"User-Agent": AGENT, "Connection": "close"},
                timeout=urllib3.Timeout(total=patience),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            answer.close()
    except urllib3.exceptions.NewConnectionError as error:  # which is a TimeoutError, too
        return _words(error)
    except urllib3.exceptions.TimeoutError:
        return f"no answer within {patience:g} s"
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        return _words(error)
    return "" if answer.status in GOOD else f"status {answer.status}"


def _words(error: Exception) -> str:
    """What is wrong, without the object that urllib3 names before it."""
    words = str(error).rpartition(">: ")[2].rpartition("): ")[2]
    return words.removeprefix("Failed to establish a new connection: ") or type(error).__name__
