"""What the Lease of a gateway's member is called, and whose it is by its name. Pure.

A name can't be edited, labels and annotations can: so it is the name that says whose a Lease is.
It ends with a hash of gateway and node, since both may have dashes and dots in them. Where it is
too long, it is cut, and the annotations say whose it is; they have to fit the hash.
"""

import hashlib
from collections.abc import Collection, Mapping
from functools import lru_cache

from outgate.api.meta import GROUP, LABEL_MAX, NAME_MAX

GATEWAY = f"{GROUP}/gateway"
"""Label and annotation. All Leases of members have the label, and no others."""
NODE = f"{GROUP}/node"
"""Label and annotation."""

SELECTED = 50
"""Gateways that a selector names, at most: some 4 KB of URL. Proxies take 8."""

PREFIX = "outgate-vip-"
DIGEST = 16
"""Hexadecimal digits of the hash: 64 bits."""

Member = tuple[str, str]
"""Gateway and node."""


@lru_cache(maxsize=4096)
def lease_name(gateway: str, node: str) -> str:
    """The name of the member's Lease: an RFC 1123 subdomain, as long as both are."""
    return _cut(f"{PREFIX}{gateway}-{node}", _digest(gateway, node), NAME_MAX)


@lru_cache(maxsize=4096)
def member_of(name: str) -> Member | None:
    """Whose Lease has this name; None if it is nobody's, or was cut."""
    text = name.removeprefix(PREFIX)[: -DIGEST - 1]
    for at, letter in enumerate(text):
        if letter == "-" and lease_name(text[:at], text[at + 1 :]) == name:
            return text[:at], text[at + 1 :]
    return None


def named_in(annotations: Mapping[str, str], name: str) -> Member | None:
    """Whose it is by its annotations; None if they don't fit the name."""
    gateway, node = annotations.get(GATEWAY, ""), annotations.get(NODE, "")
    return (gateway, node) if lease_name(gateway, node) == name else None


def labels(gateway: str, node: str) -> dict[str, str]:
    """The Lease's labels, for selecting: a long name is cut, and has a hash at its end."""
    return {GATEWAY: _label(gateway), NODE: _label(node)}


def selector(gateways: Collection[str]) -> str:
    """A label selector of at least these gateways' Leases: of all, for none or very many."""
    if not 0 < len(gateways) <= SELECTED:
        return GATEWAY
    return f"{GATEWAY} in ({','.join(sorted(map(_label, gateways)))})"


def labelled(labels: Mapping[str, str], member: Member) -> bool:
    """Whether whoever selects the Leases of the member's gateway finds the one with these."""
    return labels.get(GATEWAY) == _label(member[0])


def _label(value: str) -> str:
    return value if len(value) <= LABEL_MAX else _cut(value, _digest(value), LABEL_MAX)


def _cut(text: str, digest: str, length: int) -> str:
    """The text, cut if need be, and the digest: together not longer than that."""
    # Neither a subdomain's part nor a label's value may end with these.
    return f"{text[: length - DIGEST - 1].rstrip('-.')}-{digest}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:DIGEST]
