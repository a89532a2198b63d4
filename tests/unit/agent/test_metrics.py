"""What is counted goes on where others begin anew."""

from prometheus_client import CollectorRegistry

from outgate.agent.metrics import REGISTRY, Drops, Repairs


def repaired() -> float:
    return REGISTRY.get_sample_value("outgate_agent_drift_total", {"what": "addresses"}) or 0.0


def test_drops_go_on_when_the_kernels_counters_begin_anew() -> None:
    counts = {"leak": 0}
    registry = CollectorRegistry()
    registry.register(Drops(lambda: counts))

    def exported() -> float | None:
        return registry.get_sample_value("outgate_agent_dropped_packets_total", {"reason": "leak"})

    seen = []
    for counts["leak"] in (5, 7, 2, 2, 0, 1):
        seen.append(exported())
    assert seen == [5, 7, 9, 9, 9, 10]


def test_what_the_vip_process_put_back_before_is_not_counted_again() -> None:
    before, repairs = repaired(), Repairs()
    for said in (4, None, 4, 6, None, 6):
        repairs.seen(said)
    assert repaired() == before + 2


def test_a_vip_process_that_begins_anew_goes_on_being_counted() -> None:
    before, repairs = repaired(), Repairs()
    for said in (4, None, 0, 1):
        repairs.seen(said)
    assert repaired() == before + 1
