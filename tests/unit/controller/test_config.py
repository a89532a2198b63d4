from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest
from click.testing import CliRunner

from outgate.api.settings import SettingsWrong
from outgate.controller.__main__ import main
from outgate.controller.config import Options, settings_of, timing_of


def test_defaults_are_valid() -> None:
    settings = settings_of(Options())
    assert settings.mesh.mark_max == 254
    assert timing_of(Options()).duration == 15.0


@pytest.mark.parametrize(
    ("mask", "highest"), [("0xff", 254), ("0xff00", 254), ("0x3fff", 16382), ("12", 2), ("0x3", 2)]
)
def test_marks_fit_the_mask_and_leave_the_reply_mark(mask: str, highest: int) -> None:
    assert settings_of(Options(mark_mask=mask)).mesh.mark_max == highest


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"mark_mask": "0x101"}, "mark-mask"),
        ({"mark_mask": "0x10000"}, "mark-mask"),
        ({"mark_mask": "0"}, "mark-mask"),
        ({"mark_mask": "-1"}, "mark-mask"),
        ({"mark_mask": "0x1"}, "mark-mask"),
        ({"mark_mask": "red"}, "mark-mask"),
        ({"tunnel_subnet4": "192.0.2.0/30"}, "tunnel-subnet4"),
        ({"tunnel_subnet4": "2001:db8::/64"}, "tunnel-subnet4"),
        ({"tunnel_subnet6": "192.0.2.0/24"}, "tunnel-subnet6"),
        ({"tunnel_subnet6": "2001:db8::/126"}, "tunnel-subnet6"),
        ({"tunnel_subnet4": "none", "tunnel_subnet6": ""}, "tunnel-subnet4 and tunnel-subnet6"),
        ({"heartbeat_stale": 0.0}, "heartbeat-stale"),
        ({"service_cidrs": ("bad",)}, "service-cidr"),
        ({"service_cidrs": ("",)}, "service-cidr"),
    ],
)
def test_wrong_setting_is_named(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsWrong, match=named):
        settings_of(replace(Options(), **changed))


def test_wrong_lease_duration_is_named() -> None:
    with pytest.raises(SettingsWrong, match="lease-duration"):
        timing_of(Options(lease_duration=0.0))


def test_one_family_is_enough() -> None:
    mesh = settings_of(Options(tunnel_subnet4="192.0.2.0/24", tunnel_subnet6="none")).mesh
    assert (mesh.subnet4, mesh.subnet6) == (IPv4Network("192.0.2.0/24"), None)


def test_process_refuses_to_start_with_a_wrong_environment() -> None:
    result = CliRunner().invoke(main, env={"OUTGATE_MARK_MASK": "0x101"})
    assert result.exit_code == 2
    assert "contiguous" in result.output


def test_a_tunnel_subnet_may_be_written_as_an_address_in_it() -> None:
    mesh = settings_of(Options(tunnel_subnet4="192.0.2.1/24")).mesh
    assert mesh.subnet4 == IPv4Network("192.0.2.0/24")
