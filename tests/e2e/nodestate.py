"""What a node's kernel holds that is not Outgate's, item by item, so that changes can be named.

Rules and set elements are items, not lines of a listing: kube-proxy's for Outgate's own Services
and pods come and go with them, and are told from all others by what they name.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from outgate.lab import Lab, product

State = Mapping[str, frozenset[str]]
"""Listing → its items."""

_OURS = re.compile(r"(^|[ .])outgate(_vip)?([ .:]|$)|\bproto 178\b")
_POD_LINK = re.compile(r"\bveth[0-9a-f]+")
_SYSCTLS = r"^net\.(bridge|core|ipv4|ipv6|netfilter)\."
_COUNTS = re.compile(r"^net\.netfilter\.nf_conntrack_(count|buckets|max)\b")
_IPTABLES = re.compile(r"table ip6? (filter|nat|mangle|raw|security)")
_VOLATILE = frozenset({"handle", "index", "packets", "bytes"})


def read(lab: Lab, node: str) -> State:
    """All of one node; without links of pods, counters, handles and Outgate's own objects."""
    return {
        name: frozenset(item for item in items if not _OURS.search(item))
        for name, items in _everything(lab, node).items()
    }


def ours(lab: Lab, node: str) -> list[str]:
    """What carries Outgate's mark, sorted; addresses of egress IPs do not."""
    return sorted(
        f"{name}: {item}"
        for name, items in _everything(lab, node).items()
        for item in items
        if _OURS.search(item)
    )


def differences(before: State, after: State, *, naming: Iterable[str] = ()) -> list[str]:
    """Items that were there only before (-) or are there only after (+), sorted.

    Those that contain one of the names are left out: see `names`.
    """
    words = "|".join(map(re.escape, naming))
    named = re.compile(rf"(?<![0-9a-z:.])({words})(?![0-9a-z])") if words else re.compile(r"(?!)")
    return sorted(
        f"{sign} {name}: {item}"
        for name in {*before, *after}
        for sign, one, other in (("-", before, after), ("+", after, before))
        for item in one.get(name, frozenset()) - other.get(name, frozenset())
        if not named.search(item)
    )


def names(lab: Lab) -> frozenset[str]:
    """By what Outgate's own Services and pods show in rules of others: namespace and addresses."""
    found = {product.NAMESPACE}
    for item in lab.kubectl_json("get", "pods,services", "--namespace", product.NAMESPACE)["items"]:
        if not item["spec"].get("hostNetwork"):
            found.update(ip["ip"] for ip in item["status"].get("podIPs", ()))
            found.update(item["spec"].get("clusterIPs", ()))
    return frozenset(found - {"None"})


def _rules(saved: str) -> Iterator[str]:
    """The rules and policies of iptables-save's output, each with its table; their order is none.

    A chain without rules does nothing: it is no item.
    """
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line
        elif line.startswith("-A ") or re.match(":.* (ACCEPT|DROP) ", line):
            yield re.sub(r"\[\d+:\d+\]", "", f"{table} {line}")


def _items(listing: str) -> Iterator[str]:
    """Each object of `nft -j list`, and each element of a set or map, by itself."""
    for entry in json.loads(listing)["nftables"]:
        for kind, described in entry.items():
            elements = described.pop("elem", ()) if kind in ("set", "map") else ()
            yield json.dumps({kind: _lasting(described)}, sort_keys=True)
            for element in elements:
                yield json.dumps({described["name"]: _lasting(element)}, sort_keys=True)


def _lasting(value: Any) -> Any:
    match value:
        case dict():
            return {key: _lasting(each) for key, each in value.items() if key not in _VOLATILE}
        case list():
            return [_lasting(each) for each in value]
    return value


def _everything(lab: Lab, node: str) -> State:
    tables = lab.exec(node, "nft", "list", "tables").splitlines()
    found: dict[str, Iterable[str]] = {"nft tables": tables}
    for table in tables:
        # Those of iptables-nft are for iptables-save to read.
        if not _OURS.search(table) and not _IPTABLES.fullmatch(table):
            found[table] = _items(lab.exec(node, "nft", "-j", "list", *table.split()))
    for tool in ("iptables", "ip6tables"):
        for backend in ("nft", "legacy"):
            command = f"{tool}-{backend}-save"
            found[command] = _rules(lab.exec(node, command))
    for family in ("-4", "-6"):
        found[f"ip {family} rule"] = lab.exec(node, "ip", family, "rule").splitlines()
        routes = lab.exec(node, "ip", family, "route", "show", "table", "all").splitlines()
        # Link-local ones of a CNI's devices are other ones after a node's reboot.
        found[f"ip {family} route"] = (line for line in routes if " fe80:" not in f" {line}")
    addresses = lab.exec(node, "ip", "-o", "address").splitlines()
    found["ip address"] = (
        " ".join(each.split()[1:4]) for each in addresses if " fe80:" not in each
    )
    links = lab.exec(node, "ip", "-o", "link").splitlines()
    found["ip link"] = (re.sub(r"^\d+: |@if\d+|\\.*", "", line) for line in links)
    sysctls = lab.exec(node, "sysctl", "-a", "--ignore", "--pattern", _SYSCTLS).splitlines()
    found["sysctl"] = (line for line in sysctls if not _COUNTS.match(line))
    return {
        name: frozenset(item.strip() for item in items if not _POD_LINK.search(item))
        for name, items in found.items()
    }
