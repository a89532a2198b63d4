"""What a gateway's `healthProbes` ask for. Pure."""

from collections.abc import Iterator

from outgate.agent.probes.course import Check
from outgate.api.probes import HealthProbes


def checks_of(probes: HealthProbes | None) -> tuple[Check, ...]:
    """One check for each kind with targets. Those of two gateways are equal if they ask alike."""
    return tuple(_checks(probes)) if probes is not None else ()


def _checks(probes: HealthProbes) -> Iterator[Check]:
    icmp, http = probes.icmp, probes.http
    if icmp is not None and icmp.ips:
        yield Check("icmp", icmp.ips, icmp.interval, icmp.timeout)
    if http is not None and http.urls:
        yield Check("http", http.urls, http.interval, http.timeout)
