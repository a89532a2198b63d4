"""What is counted goes on where others begin anew."""

from ipaddress import ip_address

from prometheus_client import CollectorRegistry

from outgate.agent.metrics import REGISTRY, Repairs, TrafficMetrics
from outgate.agent.ports import PORTS, PortUse
from outgate.agent.traffic import Traffic
from outgate.rules.counts import Count
from outgate.vip.protocol import Report

EIP, OUT = ip_address("203.0.113.7"), ip_address("198.51.100.9")


def repaired() -> float:
    return REGISTRY.get_sample_value("outgate_agent_drift_total", {"what": "addresses"}) or 0.0


def test_drops_go_on_when_the_kernels_counters_begin_anew() -> None:
    counts = {"leak": Count(0, 0)}
    registry = CollectorRegistry()
    registry.register(TrafficMetrics(lambda: Traffic(counts), dict))

    def exported() -> float | None:
        return registry.get_sample_value("outgate_agent_dropped_packets_total", {"reason": "leak"})

    seen = []
    for packets in (5, 7, 2, 2, 0, 1):
        counts["leak"] = Count(packets, 0)
        seen.append(exported())
    assert seen == [5, 7, 9, 9, 9, 10]


def test_policies_and_addresses_are_told_by_direction() -> None:
    traffic = Traffic(
        {},
        policies={("shop/p", "out"): Count(3, 300), ("shop/p", "in"): Count(2, 200)},
        policies_dropped={"shop/p": Count(1, 60)},
        addresses={(str(EIP), "out"): Count(5, 500)},
    )
    registry = CollectorRegistry()
    registry.register(TrafficMetrics(lambda: traffic, dict))

    def of(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"outgate_agent_{name}_total", labels)

    assert of("policy_packets", policy="shop/p", direction="out") == 3
    assert of("policy_bytes", policy="shop/p", direction="in") == 200
    assert of("policy_dropped_packets", policy="shop/p") == 1
    assert of("address_bytes", address=str(EIP), direction="out") == 500


def test_ports_are_told_with_their_limit_and_the_alarm() -> None:
    use = {(EIP, "tcp"): PortUse(60_000, OUT, 443), (EIP, "udp"): PortUse(3, OUT, 53)}
    registry = CollectorRegistry()
    registry.register(TrafficMetrics(lambda: Traffic({}), lambda: use))

    def of(name: str, protocol: str) -> float | None:
        labels = {"address": str(EIP), "protocol": protocol}
        return registry.get_sample_value(f"outgate_agent_snat_ports_{name}", labels)

    assert (of("used", "tcp"), of("limit", "tcp"), of("alarm", "tcp")) == (60_000, PORTS, 1)
    assert (of("used", "udp"), of("alarm", "udp")) == (3, 0)


def test_what_the_vip_process_put_back_before_is_not_counted_again() -> None:
    before, repairs = repaired(), Repairs()
    for said in (Report(1, repaired=4), None, Report(1, repaired=4), Report(2, repaired=6), None):
        repairs.seen(said)
    repairs.seen(Report(2, repaired=6))
    assert repaired() == before + 2


def test_a_vip_process_that_begins_anew_goes_on_being_counted() -> None:
    before, repairs = repaired(), Repairs()
    for said in (Report(1, repaired=4), None, Report(1), Report(1, repaired=1)):
        repairs.seen(said)
    assert repaired() == before + 1
