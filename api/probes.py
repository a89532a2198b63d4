"""Health probes of a gateway: what a gateway node must reach outside in order to be used.

Each kind fails for itself, when none of its targets has answered for the timeout. The names are
Calico's (`icmp.ips`, `http.urls`), and so are the default times: 5 and 15 s, 10 and 30 s.
"""

from typing import Annotated

from msgspec import Meta

from outgate.api.cel import Rule, checked, choose, no_duplicates, say
from outgate.api.meta import ADDRESS_LENGTH, Wire

TARGETS_MAX = 8
URL_LENGTH = 512
INTERVAL_MAX = 600
TIMEOUT_MAX = 3600

ICMP_INTERVAL, ICMP_TIMEOUT = 5, 15
HTTP_INTERVAL, HTTP_TIMEOUT = 10, 30

_IP_FORM = "not an address: write one such as 203.0.113.7 or 2001:db8::7"
_NOT_OUTSIDE = "a loopback, link-local, multicast, broadcast or unspecified address"
_OUTSIDE = "write one that is reached by the uplink, such as 203.0.113.7 or 2001:db8::7"
_URL_FORM = "not an http or https URL: write one such as https://probe.example.org/healthz"

_INTERVAL = (
    "Seconds between two probes of a target, and the longest that an answer may take, 1 to "
    f"{INTERVAL_MAX}."
)
_TIMEOUT = (
    "Seconds without an answer from any target after which the node may not hold addresses; it may "
    f"again as soon as one answers. More than interval, at most {TIMEOUT_MAX}."
)


def _some(field: str, example: str) -> Rule:
    return Rule(
        f"self.{field}.size() > 0",
        f"no target: list at least one in {field}, such as {example}, or leave the probe out",
        field=f".{field}",
    )


_PATIENT = Rule(
    "self.timeout > self.interval",
    "timeout must be longer than interval, so that one lost probe is no failure: "
    "raise timeout, or lower interval",
    say(
        "timeout must be longer than interval, which is @ s, so that one lost probe is no failure: "
        "raise timeout, or lower interval",
        at="string(self.interval)",
    ),
    ".timeout",
)

ProbedAddress = Annotated[
    str,
    Meta(
        max_length=ADDRESS_LENGTH,
        extra_json_schema=checked(
            Rule(
                "isIP(self)",
                _IP_FORM,
                choose(
                    ("self.contains('%')", "'{self}' has a zone: leave out '%' and what follows"),
                    (
                        "isURL(self)",
                        "'{self}' is a URL: move it to http.urls, or write an address such as "
                        "203.0.113.7",
                    ),
                    otherwise=f"'{{self}}' is {_IP_FORM}",
                ),
            ),
            Rule(
                "!isIP(self) || ip(self).isGlobalUnicast()",
                f"{_NOT_OUTSIDE}: {_OUTSIDE}",
                say(f"'{{self}}' is {_NOT_OUTSIDE}: {_OUTSIDE}"),
            ),
        ),
    ),
]

ProbedURL = Annotated[
    str,
    Meta(
        max_length=URL_LENGTH,
        extra_json_schema=checked(
            Rule(
                "isURL(self) && url(self).getScheme() in ['http', 'https']"
                " && url(self).getHostname() != ''",
                _URL_FORM,
                choose(
                    (
                        "isIP(self)",
                        "'{self}' is an address: move it to icmp.ips, or write a URL such as "
                        "http://203.0.113.7/",
                    ),
                    otherwise=f"'{{self}}' is {_URL_FORM}",
                ),
            )
        ),
    ),
]


class ICMPProbe(Wire, frozen=True, kw_only=True):
    """Echo requests (ping) from each gateway node."""

    ips: Annotated[
        tuple[ProbedAddress, ...],
        Meta(
            max_length=TARGETS_MAX,
            description="Addresses to ask, of either family: the segment's router, and some "
            "beyond it. One that answers is enough.",
            extra_json_schema=checked(no_duplicates("address")),
        ),
    ]
    interval: Annotated[int, Meta(ge=1, le=INTERVAL_MAX, description=_INTERVAL)] = ICMP_INTERVAL
    timeout: Annotated[int, Meta(ge=2, le=TIMEOUT_MAX, description=_TIMEOUT)] = ICMP_TIMEOUT

    RULES = (_some("ips", "203.0.113.7"), _PATIENT)


class HTTPProbe(Wire, frozen=True, kw_only=True):
    """HTTP GET from each gateway node; an answer of 200 to 399 counts."""

    urls: Annotated[
        tuple[ProbedURL, ...],
        Meta(
            max_length=TARGETS_MAX,
            description="URLs to get, http or https; names are resolved by the node. "
            "Certificates are not checked, redirects not followed. One that answers is enough.",
            extra_json_schema=checked(no_duplicates("URL")),
        ),
    ]
    interval: Annotated[int, Meta(ge=1, le=INTERVAL_MAX, description=_INTERVAL)] = HTTP_INTERVAL
    timeout: Annotated[int, Meta(ge=2, le=TIMEOUT_MAX, description=_TIMEOUT)] = HTTP_TIMEOUT

    RULES = (_some("urls", "https://probe.example.org/healthz"), _PATIENT)


class HealthProbes(Wire, frozen=True, kw_only=True):
    """What a node must reach to hold the gateway's addresses: by ping, by HTTP, or by both."""

    icmp: ICMPProbe | None = None
    http: HTTPProbe | None = None
