"""What the vip process counts, as Prometheus reads it from the agent."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from outgate.agent.vip_metrics import VipMetrics
from outgate.vip.client import VipState
from outgate.vip.protocol import BOUNDS, Durations, GatewayNumbers, Numbers

BUCKETS = tuple(2 if bound in (0.5, 30.0) else 0 for bound in BOUNDS)
GATEWAY = GatewayNumbers(
    "internet",
    held=3,
    epoch=9,
    failsafe=True,
    contested=1,
    lost=2,
    unknown=4,
    claimed={"planned": 5, "crash": 6},
    released={"answered_elsewhere": 7},
    conflicts={"held": 8},
    returns={"failed": 10},
    took={"crash": Durations((*BUCKETS, 1), 61.5)},
)
NUMBERS = Numbers(
    (GATEWAY,),
    api=True,
    realtime=True,
    sent=11,
    heard=12,
    refused={"forged": 13},
    unsent=14,
    leases={"failed": 15},
)


def registry(state: VipState) -> CollectorRegistry:
    made = CollectorRegistry()
    made.register(VipMetrics(lambda: state))
    return made


UP = registry(VipState(connected=True, settled=True, numbers=NUMBERS))


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("up", {}, 1),
        ("api_reachable", {}, 1),
        ("realtime", {}, 1),
        ("heartbeats_sent_total", {}, 11),
        ("heartbeats_received_total", {}, 12),
        ("datagrams_refused_total", {"reason": "forged"}, 13),
        ("messages_unsent_total", {}, 14),
        ("lease_answers_total", {"answer": "failed"}, 15),
        ("held_addresses", {"gateway": "internet"}, 3),
        ("epoch", {"gateway": "internet"}, 9),
        ("failsafe", {"gateway": "internet"}, 1),
        ("contested_addresses", {"gateway": "internet"}, 1),
        ("return_path_failed_addresses", {"gateway": "internet"}, 2),
        ("return_path_unknown_addresses", {"gateway": "internet"}, 4),
        ("claimed_addresses_total", {"gateway": "internet", "kind": "planned"}, 5),
        ("claimed_addresses_total", {"gateway": "internet", "kind": "crash"}, 6),
        ("released_addresses_total", {"gateway": "internet", "why": "answered_elsewhere"}, 7),
        ("conflicts_total", {"gateway": "internet", "when": "held"}, 8),
        ("return_path_checks_total", {"gateway": "internet", "result": "failed"}, 10),
        ("takeover_seconds_sum", {"gateway": "internet", "kind": "crash"}, 61.5),
        ("takeover_seconds_count", {"gateway": "internet", "kind": "crash"}, 5),
        ("takeover_seconds_bucket", {"gateway": "internet", "kind": "crash", "le": "0.25"}, 0),
        ("takeover_seconds_bucket", {"gateway": "internet", "kind": "crash", "le": "0.5"}, 2),
        ("takeover_seconds_bucket", {"gateway": "internet", "kind": "crash", "le": "30.0"}, 4),
        ("takeover_seconds_bucket", {"gateway": "internet", "kind": "crash", "le": "+Inf"}, 5),
    ],
)
def test_each_number_has_its_metric(name: str, labels: dict[str, str], value: float) -> None:
    assert UP.get_sample_value(f"outgate_vip_{name}", labels) == value


def test_all_of_it_is_what_a_strict_reader_takes() -> None:
    text = generate_latest(UP).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert len(families) == 19
    assert all(family.documentation.endswith(".") for family in families.values())


def test_a_node_that_serves_no_gateway_says_nothing_of_what_only_those_do() -> None:
    idle = registry(VipState(connected=True, settled=True, numbers=Numbers()))
    assert idle.get_sample_value("outgate_vip_api_reachable") is None
    assert idle.get_sample_value("outgate_vip_realtime") is None
    assert idle.get_sample_value("outgate_vip_heartbeats_sent_total") == 0


def test_of_a_process_that_is_away_only_that_is_told() -> None:
    gone = registry(VipState(connected=False, settled=False))
    assert [family.name for family in gone.collect()] == ["outgate_vip_up"]
    assert gone.get_sample_value("outgate_vip_up") == 0
