from ipaddress import IPv4Address

import pytest

from bench.failover.keepalived import DEFAULTS, TUNED, Tuning, config


@pytest.mark.parametrize(("tuning", "seconds"), [(DEFAULTS, 3.61), (TUNED, 0.361)])
def test_a_backup_waits_three_adverts_and_its_skew(tuning: Tuning, seconds: float) -> None:
    assert tuning.take_over == pytest.approx(seconds, abs=0.01)


def test_the_configuration_says_only_what_differs_from_the_defaults() -> None:
    text = config(TUNED, router_id=7, priority=150, address=IPv4Address("192.0.2.9"))
    told = {
        line.split()[0]: line.split()[-1] for line in text.splitlines() if len(line.split()) > 1
    }
    assert told["advert_int"] == "0.1"
    assert told["vrrp_version"] == "3"
    assert (told["virtual_router_id"], told["priority"]) == ("7", "150")
    assert "192.0.2.9/24" in text
    assert "nopreempt" not in text
