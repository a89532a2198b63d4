"""What a node may lack, and what to do about it."""

from dataclasses import replace
from pathlib import Path

import pytest

from outgate.agent.prerequisites import missing
from outgate.api.view import DataPathSettings

NET_ADMIN = 1 << 12


def proc(root: Path, **files: str) -> Path:
    contents = {
        "self/status": f"Name:\tx\nCapEff:\t{NET_ADMIN:016x}\n",
        "sys/net/ipv4/ip_forward": "1\n",
        "sys/net/ipv6/conf/all/forwarding": "1\n",
        "net/if_inet6": "20010db8000000000000000000000001 02 40 00 80 eth0\n",
    } | {name.replace("__", "/"): text for name, text in files.items()}
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_node_that_has_everything_lacks_nothing(tmp_path: Path) -> None:
    assert missing(DataPathSettings(), proc=proc(tmp_path), release="6.1.0-28-amd64") == ()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("sys__net__ipv4__ip_forward", "0\n", "sysctl -w net.ipv4.ip_forward=1"),
        ("sys__net__ipv6__conf__all__forwarding", "0\n", "net.ipv6.conf.all.forwarding=1"),
        ("self__status", "CapEff:\t0000000000000000\n", "CAP_NET_ADMIN is missing"),
    ],
)
def test_what_is_missing_is_named_with_its_remedy(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (sentence,) = missing(DataPathSettings(), proc=proc(tmp_path, **{name: text}), release="6.1.0")
    assert said in sentence


def test_a_node_without_ipv6_need_not_forward_it(tmp_path: Path) -> None:
    here = proc(
        tmp_path,
        sys__net__ipv6__conf__all__forwarding="0",
        net__if_inet6="fe800000000000000000000000000001 02 40 20 80 eth0\n",
    )
    assert missing(DataPathSettings(), proc=here, release="6.1.0") == ()


def test_an_old_linux_is_too_old_for_the_reply_route_only(tmp_path: Path) -> None:
    (sentence,) = missing(DataPathSettings(), proc=proc(tmp_path), release="5.15.0-100-generic")
    assert "Linux 5.15 has no netdev egress hook" in sentence
    without = replace(DataPathSettings(), reply_route=False)
    assert missing(without, proc=proc(tmp_path), release="5.15.0-100-generic") == ()
