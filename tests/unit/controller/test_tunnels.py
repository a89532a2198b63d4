from ipaddress import IPv4Network, IPv6Network, ip_address

from outgate.api.meta import ObjectMeta
from outgate.api.tunnel import EgressTunnel, EgressTunnelSpec
from outgate.controller.tunnels import Mesh, MeshSettings, allocate_tunnels

NAMES = [f"node-{number}" for number in range(50)]
SMALL = MeshSettings(
    subnet4=IPv4Network("192.0.2.0/24"), subnet6=IPv6Network("2001:db8::/64"), mark_max=254
)


def objects(mesh: Mesh, *, created: str = "2026-01-01T00:00:00Z") -> list[EgressTunnel]:
    return [
        EgressTunnel(metadata=ObjectMeta(name=name, creation_timestamp=created), spec=spec)
        for name, spec in mesh.specs.items()
    ]


def mesh_of(
    nodes: list[str],
    tunnels: list[EgressTunnel] | None = None,
    *,
    candidates: list[str] | None = None,
    settings: MeshSettings = SMALL,
) -> Mesh:
    return allocate_tunnels(
        nodes, candidates=candidates or [], tunnels=tunnels or [], settings=settings
    )


def test_nobody_shares_anything() -> None:
    specs = list(mesh_of(NAMES, candidates=NAMES).specs.values())
    for values in zip(*((s.index, s.mac, s.ipv4, s.ipv6, s.mark) for s in specs), strict=True):
        assert len(set(values)) == len(NAMES)


def test_macs_are_local_unicast() -> None:
    assert all(spec.mac.startswith("02:") for spec in mesh_of(NAMES).specs.values())


def test_order_of_nodes_does_not_matter() -> None:
    assert mesh_of(NAMES).specs == mesh_of(NAMES[::-1]).specs


def test_what_is_given_is_kept_when_nodes_come_and_go() -> None:
    before = mesh_of(NAMES[:20], candidates=NAMES[:5])
    after = mesh_of(NAMES[5:30], objects(before), candidates=NAMES[3:9])
    for name in NAMES[5:20]:
        old, new = before.specs[name], after.specs[name]
        assert (old.index, old.mac, old.ipv4, old.ipv6) == (new.index, new.mac, new.ipv4, new.ipv6)


def test_values_of_a_node_that_is_gone_are_taken_while_its_tunnel_is_there() -> None:
    tiny = MeshSettings(subnet4=IPv4Network("192.0.2.0/29"), subnet6=None, mark_max=5)
    before = mesh_of(NAMES[:5], candidates=NAMES[:5], settings=tiny)
    after = mesh_of(NAMES[1:6], objects(before), candidates=NAMES[1:6], settings=tiny)
    assert after.specs[NAMES[5]].ipv4 == ""
    assert NAMES[5] in after.short
    assert NAMES[5] in after.unmarked


def test_only_candidates_have_a_mark_and_keep_it() -> None:
    before = mesh_of(NAMES[:4], candidates=NAMES[:2])
    assert [bool(before.specs[name].mark) for name in NAMES[:4]] == [True, True, False, False]
    after = mesh_of(NAMES[:4], objects(before), candidates=NAMES[1:3])
    assert after.specs[NAMES[1]].mark == before.specs[NAMES[1]].mark
    assert after.specs[NAMES[0]].mark == 0


def test_marks_leave_the_reply_mark_alone() -> None:
    marks = MeshSettings(mark_max=2)
    mesh = mesh_of(NAMES[:4], candidates=NAMES[:4], settings=marks)
    assert sorted(spec.mark for spec in mesh.specs.values()) == [0, 0, 1, 2]
    assert len(mesh.unmarked) == 2


def test_network_broadcast_and_placeholder_are_nobodys() -> None:
    tiny = MeshSettings(subnet4=IPv4Network("192.0.2.0/29"), subnet6=IPv6Network("2001:db8::/125"))
    mesh = mesh_of(NAMES[:8], settings=tiny)
    given4 = {spec.ipv4 for spec in mesh.specs.values()} - {""}
    assert given4 == {f"192.0.2.{n}" for n in range(1, 6)}
    assert not {"2001:db8::", "2001:db8::7"} & {spec.ipv6 for spec in mesh.specs.values()}
    assert len(mesh.short) == 3


def test_another_subnet_gives_all_new_addresses_and_nothing_else() -> None:
    before = mesh_of(NAMES[:5])
    other = MeshSettings(subnet4=IPv4Network("198.51.100.0/24"), subnet6=SMALL.subnet6)
    after = mesh_of(NAMES[:5], objects(before), settings=other)
    for name in NAMES[:5]:
        assert ip_address(after.specs[name].ipv4) in IPv4Network("198.51.100.0/24")
        assert after.specs[name].ipv6 == before.specs[name].ipv6
        assert after.specs[name].index == before.specs[name].index


def test_family_without_a_subnet_has_no_addresses() -> None:
    single = MeshSettings(subnet4=None, subnet6=SMALL.subnet6)
    assert {spec.ipv4 for spec in mesh_of(NAMES, settings=single).specs.values()} == {""}


def test_of_two_tunnels_with_one_address_the_older_keeps_it() -> None:
    spec = EgressTunnelSpec(index=7, mac="02:00:00:00:00:07", ipv4="192.0.2.7", mark=0)
    old, new = (
        EgressTunnel(metadata=ObjectMeta(name=name, creation_timestamp=created), spec=spec)
        for name, created in (("z", "2026-01-01T00:00:00Z"), ("a", "2026-01-02T00:00:00Z"))
    )
    specs = mesh_of(["a", "z"], [new, old]).specs
    assert (specs["z"].index, specs["z"].mac, specs["z"].ipv4) == (7, spec.mac, spec.ipv4)
    assert specs["a"].index != 7
    assert specs["a"].mac != spec.mac
    assert specs["a"].ipv4 != spec.ipv4


def test_values_out_of_range_are_replaced() -> None:
    bad = EgressTunnelSpec(index=7, mac="02:00:00:00:00:00", ipv4="192.0.2.255", mark=9999)
    tunnel = EgressTunnel(metadata=ObjectMeta(name="a"), spec=bad)
    spec = mesh_of(["a"], [tunnel], candidates=["a"]).specs["a"]
    assert spec.index == 7
    assert spec.mac != bad.mac
    assert spec.ipv4 not in ("", bad.ipv4)
    assert 1 <= spec.mark <= 254
