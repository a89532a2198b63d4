"""What is read of /proc, of rtnetlink's messages and of legacy tables, byte by byte."""

import socket
import struct
import sys
from ipaddress import ip_address
from pathlib import Path

from outgate.agent import legacy_tables, other_routing
from outgate.agent.node_state import ALL_BITS, Device, MarkUse, OtherRoute, OtherRule, UdpSocket
from outgate.agent.others import udp_sockets
from outgate.daemon.netlink import attribute, attributes, text

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"


def words(address: str) -> str:
    """As /proc/net writes an address: words of 32 bits in the host's own order."""
    packed = ip_address(address).packed
    found = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in found)


def line(address: str, port: int, inode: int) -> str:
    nothing = words("::" if ":" in address else "0.0.0.0")
    ends = f"{words(address)}:{port:04X} {nothing}:0000"
    return f" 1: {ends} 07 00000000:00000000 00:00000000 00000000 0 0 {inode} 2 0 0\n"


def u32(number: int) -> bytes:
    return struct.pack("=I", number)


def string(value: str) -> bytes:
    return value.encode() + b"\0"


def link(name: str, kind: str = "", data: bytes = b"") -> bytes:
    info = attribute(1, string(kind)) + attribute(2, data)
    return bytes(16) + attribute(3, string(name)) + (attribute(18, info) if kind else b"")


def ip_rule(*found: bytes, family: int = socket.AF_INET, action: int = 1, flags: int = 0) -> bytes:
    header = struct.pack("=BBBBBBBBI", family, 0, 16, 0, 0, 0, 0, action, flags)
    return header + b"".join(found)


def route(table: int, protocol: int, *found: bytes, kind: int = 1, flags: int = 0) -> bytes:
    low = table if table < 256 else 252
    header = struct.pack("=BBBBBBBBI", socket.AF_INET, 24, 0, 0, low, protocol, 0, kind, flags)
    return header + attribute(15, u32(table)) + b"".join(found)


def test_sockets_of_the_port_are_read_with_the_process_that_has_them(tmp_path: Path) -> None:
    net = tmp_path / "thread-self" / "net"
    net.mkdir(parents=True)
    (net / "udp").write_text(HEAD + line("192.0.2.1", 7789, 41) + line("192.0.2.1", 53, 42))
    (net / "udp6").write_text(HEAD + line("2001:db8::1", 7789, 43))
    descriptors = tmp_path / "12" / "fd"
    descriptors.mkdir(parents=True)
    (descriptors / "3").symlink_to("socket:[43]")
    (tmp_path / "12" / "comm").write_text("dnsd\n")
    assert list(udp_sockets(7789, proc=tmp_path)) == [
        UdpSocket(ip_address("192.0.2.1"), 7789),
        UdpSocket(ip_address("2001:db8::1"), 7789, "dnsd (process 12)"),
    ]


def test_a_kernel_without_ipv6_has_no_sockets_of_it(tmp_path: Path) -> None:
    assert list(udp_sockets(7789, proc=tmp_path)) == []


def test_tunnel_devices_and_the_one_of_our_name_are_read() -> None:
    vxlan = attribute(1, u32(4096)) + attribute(15, struct.pack("!H", 4789))
    geneve = attribute(1, u32(5)) + attribute(5, struct.pack("!H", 6081))
    messages = (
        link("eth0"),
        link("outgate", "bridge"),
        link("vxlan.calico", "vxlan", vxlan),
        link("gbp0", "vxlan", attribute(1, u32(7)) + attribute(23, b"")),
        link("genev_sys", "geneve", geneve),
        link("myoutgate0", "veth"),
    )
    assert list(other_routing.devices(messages, name="outgate")) == [
        Device("outgate", "bridge"),
        Device("vxlan.calico", "vxlan", vni=4096, port=4789),
        Device("gbp0", "vxlan", vni=7, port=8472, gbp=True),
        Device("genev_sys", "geneve", vni=5, port=6081),
    ]


def test_ip_rules_of_others_read_as_the_tool_prints_them() -> None:
    ours = attribute(21, bytes([178]))
    messages = (
        ip_rule(ours, attribute(6, u32(90))),
        ip_rule(attribute(15, u32(254)), attribute(6, u32(32766)), attribute(21, b"\x02")),
        ip_rule(
            attribute(2, ip_address("10.1.0.0").packed),
            attribute(3, string("eth0")),
            attribute(17, string("eth1")),
            attribute(6, u32(100)),
            attribute(10, u32(0x80)),
            attribute(16, u32(0xF0)),
            attribute(15, u32(7701)),
            attribute(20, struct.pack("=II", 0, 99)),
            attribute(22, b"\x11"),
            attribute(23, struct.pack("=HH", 10, 20)),
            attribute(24, struct.pack("=HH", 53, 53)),
            attribute(14, u32(0)),
            attribute(21, bytes([4])),
            flags=2,
        ),
        ip_rule(attribute(6, u32(200)), attribute(4, u32(300)), action=2, family=socket.AF_INET6),
        ip_rule(attribute(6, u32(1000)), attribute(19, b"\x01")),
        ip_rule(attribute(6, u32(1001)), attribute(10, u32(5)), action=8),
    )
    assert list(other_routing.rules(messages, protocol=178)) == [
        OtherRule(4, 32766, "32766: from all lookup main", table=254),
        OtherRule(
            4,
            100,
            "100: not from 10.1.0.0/16 fwmark 0x80/0xf0 iif eth0 oif eth1 uidrange 0-99 ipproto udp"
            " sport 10-20 dport 53 lookup 7701 suppress_prefixlength 0 proto static",
            table=7701,
            mark=0x80,
            mask=0xF0,
        ),
        OtherRule(6, 200, "200: from all goto 300"),
        OtherRule(4, 1000, "1000: from all lookup [l3mdev-table]"),
        OtherRule(4, 1001, "1001: from all fwmark 0x5 prohibit", mark=5, mask=ALL_BITS),
    ]


def test_routes_of_others_in_our_tables_are_read_and_no_others() -> None:
    to = attribute(1, ip_address("198.51.100.0").packed)
    messages = (
        route(254, 4, to),
        route(7701, 178, to),
        route(7701, 1, to),  # what an ICMP redirect left
        route(7701, 4, to, flags=0x200),  # an exception that the kernel made
        route(9000, 4, to),
        route(7701, 12, to, attribute(5, ip_address("192.0.2.9").packed), attribute(4, u32(3))),
        route(7702, 80, kind=6),
    )
    found = other_routing.routes(
        messages, tables=range(7700, 7956), protocol=178, link_name=lambda index: f"eth{index}"
    )
    assert list(found) == [
        OtherRoute(7701, 12, "198.51.100.0/24 via 192.0.2.9 dev eth3 table 7701 proto bird"),
        OtherRoute(7702, 80, "blackhole default table 7702 proto 80"),
    ]


def test_a_legacy_table_is_read_chain_by_chain() -> None:
    layout = legacy_tables.LAYOUTS[4]

    def extension(name: str, revision: int, data: bytes) -> bytes:
        return struct.pack("=H29sB", 32 + len(data), name.encode(), revision) + data

    def entry(*matches: bytes, target: bytes) -> bytes:
        before = layout.matches + sum(map(len, matches))
        lengths = struct.pack("=HH", before, before + len(target))
        head = bytes(layout.lengths) + lengths
        return head.ljust(layout.matches, b"\0") + b"".join(matches) + target

    accept = extension("", 0, bytes(8))
    blob = (
        entry(extension("mark", 1, struct.pack("=IIB3x", 0x10, 0xF0, 0)), target=accept)
        + entry(target=accept)
        + entry(target=extension("ERROR", 0, b"KUBE-MARK-MASQ".ljust(32, b"\0")))
        + entry(
            extension("comment", 0, b"masquerade".ljust(256, b"\0")),
            target=extension("MARK", 2, struct.pack("=II", 0x4000, 0x4000)),
        )
        + b"cut short"
    )
    found = legacy_tables.uses_in(blob, layout, hooks={0: "PREROUTING"}, table="ip nat")
    assert list(found) == [
        MarkUse("ip nat", "PREROUTING", "packet", "reads", 0xF0, 0x10),
        MarkUse("ip nat", "KUBE-MARK-MASQ", "packet", "writes", 0x4000, 0x4000, "masquerade"),
    ]


def test_attributes_end_where_they_are_cut_short() -> None:
    data = attribute(3, b"abc") + attribute(0x8004, b"") + b"\x01\x00\x05\x00"
    assert list(attributes(data)) == [(3, b"abc"), (4, b"")]
    assert text(b"eth0\0\0") == "eth0"
