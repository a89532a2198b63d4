import pytest

from outgate.lab import Cni, Families, Iptables, LabError, Options, ProxyMode


def test_options_survive_the_way_through_json() -> None:
    options = Options(
        "x",
        nodes=5,
        gateways=1,
        cni=Cni.BRIDGE,
        proxy_mode=ProxyMode.IPTABLES,
        families=Families.DUAL,
        iptables=Iptables.LEGACY,
    )
    assert Options.from_json(options.to_json()) == options


@pytest.mark.parametrize("name", ["", "A", "-x", "a_b", "x" * 13, "a/b", ".."])
def test_a_name_that_would_make_a_bad_path_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="lab name"):
        Options(name)


@pytest.mark.parametrize("name", ["a", "0", "a-b", "x" * 12])
def test_a_plain_name_is_taken(name: str) -> None:
    assert Options(name).name == name


def test_more_gateways_than_nodes_are_refused() -> None:
    with pytest.raises(LabError, match=r"0 to --nodes \(1\), not 2"):
        Options(nodes=1)


@pytest.mark.parametrize("nodes", [0, 41])
def test_a_count_of_nodes_that_has_no_addresses_is_refused(nodes: int) -> None:
    with pytest.raises(LabError, match="--nodes must be 1 to 40"):
        Options(nodes=nodes, gateways=0)
