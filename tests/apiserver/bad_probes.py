"""Health probes that make no sense, and what the API server has to say of each."""

from apiserver.bad_objects import bad
from apiserver.objects import probing

PROBES = (
    bad(
        "a ping of a name",
        probing(icmp={"ips": ["probe.example.org"]}),
        "spec.healthProbes.icmp.ips[0]",
        "'probe.example.org' is not an address",
        "write one such as 203.0.113.7",
    ),
    bad(
        "a ping of a URL",
        probing(icmp={"ips": ["http://203.0.113.7/"]}),
        "'http://203.0.113.7/' is a URL: move it to http.urls",
    ),
    bad(
        "a ping of an address with a zone",
        probing(icmp={"ips": ["fe80::1%eth0"]}),
        "'fe80::1%eth0' has a zone: leave out '%'",
    ),
    bad(
        "a ping of this very node",
        probing(icmp={"ips": ["127.0.0.1"]}),
        "'127.0.0.1' is a loopback",
        "write one that is reached by the uplink",
    ),
    bad(
        "a ping of nobody",
        probing(icmp={"ips": []}),
        "spec.healthProbes.icmp.ips",
        "list at least one in ips",
        "or leave the probe out",
    ),
    bad("a ping without targets", probing(icmp={}), "spec.healthProbes.icmp.ips", "Required"),
    bad(
        "a ping of the same address twice",
        probing(icmp={"ips": ["203.0.113.7", "203.0.113.7"]}),
        "203.0.113.7 is here twice: list each address once",
    ),
    bad(
        "nine targets",
        probing(icmp={"ips": [f"203.0.113.{n}" for n in range(1, 10)]}),
        "spec.healthProbes.icmp.ips",
        "at most 8 items",
    ),
    bad(
        "a timeout that the usual interval fills",
        probing(icmp={"ips": ["203.0.113.7"], "timeout": 5}),
        "spec.healthProbes.icmp.timeout",
        "timeout must be longer than interval, which is 5 s",
        "raise timeout, or lower interval",
    ),
    bad(
        "an interval of no time",
        probing(icmp={"ips": ["203.0.113.7"], "interval": 0}),
        "spec.healthProbes.icmp.interval",
        "greater than or equal to 1",
    ),
    bad(
        "a timeout of more than an hour",
        probing(http={"urls": ["http://203.0.113.7/"], "timeout": 3601}),
        "spec.healthProbes.http.timeout",
        "less than or equal to 3600",
    ),
    bad(
        "a URL of another scheme",
        probing(http={"urls": ["ftp://probe.example.org/"]}),
        "spec.healthProbes.http.urls[0]",
        "'ftp://probe.example.org/' is not an http or https URL",
        "write one such as https://probe.example.org/healthz",
    ),
    bad(
        "a URL without a host",
        probing(http={"urls": ["http:///healthz"]}),
        "is not an http or https URL",
    ),
    bad(
        "an address for a URL",
        probing(http={"urls": ["203.0.113.7"]}),
        "'203.0.113.7' is an address: move it to icmp.ips, or write a URL",
    ),
    bad(
        "a URL twice",
        probing(http={"urls": ["http://a.example/", "http://a.example/"]}),
        "http://a.example/ is here twice: list each URL once",
    ),
    bad("no URL", probing(http={"urls": []}), "list at least one in urls"),
    bad(
        "an HTTP timeout that is no longer than its interval",
        probing(http={"urls": ["http://a.example/"], "interval": 30, "timeout": 30}),
        "spec.healthProbes.http.timeout",
        "which is 30 s",
    ),
)
