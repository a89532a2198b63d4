"""Settings that can't work, and what is said about them."""

from typing import Any

import pytest

from outgate.agent.config import data_path_settings, detect_method
from outgate.api.settings import SettingsWrong
from outgate.api.view import DataPathSettings


def test_the_defaults_are_the_contracts() -> None:
    assert data_path_settings() == DataPathSettings()


def test_what_is_chosen_arrives() -> None:
    chosen = data_path_settings(strict_start=True, counters=False, reply_route=False)
    assert (chosen.strict_start, chosen.counters, chosen.reply_route) == (True, False, False)


@pytest.mark.parametrize("mask", ["0xff", "255", "0x3f00", "0xffff", "0x3"])
def test_masks_that_work(mask: str) -> None:
    assert data_path_settings(mark_mask=mask).mark_mask == int(mask, 0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"mark_mask": "0x5"}, "contiguous"),
        ({"mark_mask": "0xff0000"}, "low 16 bits"),
        ({"mark_mask": "0"}, "low 16 bits"),
        ({"mark_mask": "-1"}, "low 16 bits"),
        ({"mark_mask": "0x80"}, "at least two"),
        ({"mark_mask": "many"}, "must be a number"),
        ({"accept_mark": "calico"}, "as in 0x10000"),
        ({"accept_mark": "0x1ffffffff"}, "0..4294967295"),
        ({"accept_mark": "0x80"}, "Outgate's own"),
        ({"vxlan_port": 0}, "1..65535"),
        ({"vxlan_port": 70000}, "1..65535"),
        ({"vxlan_id": 1 << 24}, "1..16777215"),
        ({"rule_priority": 2}, "3..32764"),
        ({"table_base": 0}, "table-base 0: must be in"),
        ({"table_base": 100}, "253 to 255 are the system's"),
        ({"tunnel_subnet4": "fd00::/64"}, "must be an IPv4 CIDR"),
        ({"tunnel_subnet4": "198.18.0.0/30"}, "/29 or shorter"),
        ({"tunnel_subnet6": "198.18.0.0/16"}, "must be an IPv6 CIDR"),
        ({"tunnel_subnet6": "what"}, "is not a CIDR"),
        ({"tunnel_subnet4": "none", "tunnel_subnet6": ""}, "both none"),
    ],
)
def test_what_cannot_work_is_refused_with_what_would(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsWrong, match=said.replace("+", r"\+")):
        data_path_settings(**wrong)


def test_one_family_alone_is_enough() -> None:
    assert data_path_settings(tunnel_subnet6="none").tunnel_subnet6 is None
    assert data_path_settings(tunnel_subnet4="none").tunnel_subnet4 is None


def test_a_subnet_may_be_written_as_an_address_in_it() -> None:
    # The reference's own installation command does: feature.tunnelIpv4Subnet="192.200.0.1/16".
    settings = data_path_settings(tunnel_subnet4="198.18.0.1/16")
    assert str(settings.tunnel_subnet4) == "198.18.0.0/16"


def test_tables_above_the_systems_are_fine() -> None:
    assert data_path_settings(table_base=256).table_base == 256


@pytest.mark.parametrize("text", ["defaultRouteInterface", "interface=eth0", "interface=bond0.12"])
def test_ways_to_find_the_underlay(text: str) -> None:
    assert detect_method(text) == text


@pytest.mark.parametrize(
    "text", ["", "eth0", "interface=", "interface=a/b", "interface=much-too-long-a-name"]
)
def test_other_ways_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingsWrong, match="interface=eth0"):
        detect_method(text)
