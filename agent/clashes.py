"""What others have on the node against what we are about to use: who is in whose way, and what to
change. Pure; `outgate.agent.others` reads the node.

A false alarm stops a node that works. So a clash is only what can't work for both; what need not
meet our packets, or meets them only in part, is a doubt: said, and programmed all the same.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

from outgate.agent.node_state import ALL_BITS, Device, MarkUse, NodeState, OtherRule, UdpSocket
from outgate.agent.owners import (
    owner_of_chain,
    owner_of_mark,
    owner_of_routes,
    protocol_name,
)
from outgate.api.view import DataPathSettings

_OTHER_PORT = "choose another port, on all nodes, with feature.vxlan.port (--vxlan-port)"
_OTHER_MASK = "choose other bits with datapath.markMask (--mark-mask)"
_OTHER_TABLES = "choose other tables with datapath.tableBase (--table-base)"
_OTHER_PRIORITY = "choose another priority with datapath.rulePriority (--rule-priority)"

_KINDS = {"vxlan": "VXLAN", "geneve": "Geneve"}
_VERB = {"reads": "asks for", "writes": "sets"}

_CONSEQUENCES = {
    ("packet", "reads"): (
        "with bits of ours among these, it may take our packets for its own, so give that rule a "
        "mask"
    ),
    ("packet", "writes"): (
        "our bits go with it, and egress traffic that meets it loses its way and is dropped, so "
        "give that rule a mask"
    ),
    ("connection", "reads"): (
        "on flows that Outgate steers all 32 bits are Outgate's, so keep that rule off what "
        "matched pods send"
    ),
    ("connection", "writes"): (
        "on flows that Outgate steers all 32 bits are Outgate's, and any flow with one of the bits "
        "0xffff0000 is taken for such a one, so keep that rule off what pods send"
    ),
}
"""Of what is only a doubt."""


def clashes(seen: NodeState, settings: DataPathSettings) -> tuple[str, ...]:
    """Why we must not program this node, a sentence each: the other owner, and what to change."""
    return (
        *_device_clashes(seen.devices, settings),
        *_socket_clashes(seen, settings),
        *_table_clashes(seen, settings),
        *_priority_clashes(seen, settings),
        *_rule_mark_clashes(seen, settings),
        *_mark_clashes(seen, settings),
    )


def doubts(seen: NodeState, settings: DataPathSettings) -> tuple[str, ...]:
    """What others do that may meet our packets, a sentence each; it keeps nobody from working."""
    ours = settings.mark_mask
    found: list[str] = []
    if not seen.all_rules:
        found.append(
            "this node has so many firewall rules that not all were looked at for uses of our "
            f"packet mark ({ours:#x})"
        )
    for rule in seen.rules:
        if rule.mask == ALL_BITS and rule.mark & ours and not _is_one_of_ours(rule.mark, ours):
            found.append(
                f"{_rule(rule)}{_by(owner_of_mark(rule.mark, rule.mask))} asks for a whole mark "
                f"that has bits of ours ({ours:#x}): packets so marked may match our ip rules too, "
                f"and where they go astray, {_OTHER_MASK}"
            )
    for owner, uses in _by_owner(use for use in seen.mark_uses if _is_doubtful(use, ours)):
        who = f"{owner}: " if owner else ""
        for kind, consequence in _CONSEQUENCES.items():
            alike = [use for use in uses if (use.subject, use.verb) == kind]
            if alike:
                found.append(f"{who}{_first(alike)}: {consequence}")
    return tuple(found)


def rule_priorities(settings: DataPathSettings) -> range:
    """Where our ip rules stand: two before the one of the setting, one behind it."""
    return range(settings.rule_priority - 2, settings.rule_priority + 2)


def tables(settings: DataPathSettings) -> range:
    """Our routing tables: one for each value under the mark mask."""
    highest = settings.mark_mask // (settings.mark_mask & -settings.mark_mask)
    return range(settings.table_base, settings.table_base + highest + 1)


def is_ours(device: Device, settings: DataPathSettings) -> bool:
    """Whether an agent has made it, whatever the VNI was then: our name, VXLAN and GBP."""
    return device.name == settings.device and device.kind == "vxlan" and device.gbp


def _device_clashes(devices: Iterable[Device], settings: DataPathSettings) -> Iterator[str]:
    for device in devices:
        if is_ours(device, settings):
            continue
        if device.name == settings.device:
            yield (
                f"there is a device {device.name} that Outgate has not made "
                f"({_what(device)}), and Outgate's has to be called so: rename or remove it"
            )
        if device.port == settings.port and device.kind in _KINDS:
            same = device.kind == "vxlan" and device.vni == settings.vni
            also = ", and another VNI with feature.vxlan.id (--vxlan-id)"
            yield (
                f"UDP port {settings.port} is taken by the device {device.name} "
                f"({_what(device)}): {_OTHER_PORT}{also if same else ''}"
            )


def _what(device: Device) -> str:
    kind = _KINDS.get(device.kind, device.kind or "a physical one")
    details = [f"VNI {device.vni}"] if device.vni else []
    if device.port:
        details.append(f"port {device.port}")
    return ", ".join([kind, *details])


def _socket_clashes(seen: NodeState, settings: DataPathSettings) -> Iterator[str]:
    # A device's own socket has no process. One that we don't see either could be its own.
    device = any(each.port == settings.port and each.kind in _KINDS for each in seen.devices)
    for socket in seen.sockets:
        if socket.port != settings.port or (device and not socket.process and _any(socket)):
            continue
        whose = socket.process or "a process that can't be seen from here, or the kernel"
        find = "" if socket.process else f" (on the node: ss -ulpn sport = :{socket.port})"
        yield (
            f"UDP port {settings.port} is taken by {whose}, at {socket.address}{find}: "
            f"{_OTHER_PORT}"
        )


def _any(socket: UdpSocket) -> bool:
    return socket.address.is_unspecified


def _table_clashes(seen: NodeState, settings: DataPathSettings) -> Iterator[str]:
    ours = tables(settings)
    ordered = sorted(seen.routes, key=lambda route: (route.protocol, route.table, route.text))
    for protocol, group in groupby(ordered, key=lambda route: route.protocol):
        routes = [route for route in group if route.table in ours]
        if routes:
            first = routes[0]
            yield (
                f"routing table {first.table}, one of ours, has a route of proto "
                f"{protocol_name(protocol)}{_by(owner_of_routes(protocol))} "
                f'("{first.text}"{_more(len(routes), "route")}): {_OTHER_TABLES}'
            )
    for rule in seen.rules:
        if rule.table in ours:
            yield (
                f"{_rule(rule)}{_by(owner_of_mark(rule.mark, rule.mask))} leads to table "
                f"{rule.table}, one of ours: {_OTHER_TABLES}"
            )


def _priority_clashes(seen: NodeState, settings: DataPathSettings) -> Iterator[str]:
    ours = rule_priorities(settings)
    for rule in seen.rules:
        if rule.priority in ours:
            yield (
                f"{_rule(rule)}{_by(owner_of_mark(rule.mark, rule.mask))} stands at a priority "
                f"of ours ({ours.start} to {ours.stop - 1}): {_OTHER_PRIORITY}"
            )


def _rule_mark_clashes(seen: NodeState, settings: DataPathSettings) -> Iterator[str]:
    for rule in seen.rules:
        if _collides(rule.mask, rule.mark, ours=settings.mark_mask):
            yield (
                f"bits {rule.mask & settings.mark_mask:#x} of our packet mark "
                f"({settings.mark_mask:#x}) are asked for by {_rule(rule)}"
                f"{_by(owner_of_mark(rule.mark, rule.mask))}: {_OTHER_MASK}"
            )


def _mark_clashes(seen: NodeState, settings: DataPathSettings) -> Iterator[str]:
    ours = settings.mark_mask
    for owner, uses in _by_owner(use for use in seen.mark_uses if _is_clash(use, ours)):
        bits = 0
        for use in uses:
            bits |= use.mask & ours
        yield (
            f"bits {bits:#x} of our packet mark ({ours:#x}) are used{_by(owner)} ({_first(uses)}): "
            f"{_OTHER_MASK}"
        )


def _is_clash(use: MarkUse, ours: int) -> bool:
    return use.subject == "packet" and _collides(use.mask, use.value, ours=ours)


def _is_doubtful(use: MarkUse, ours: int) -> bool:
    if use.subject == "connection":
        return use.mask != 0
    if not use.mask & ours or _is_clash(use, ours):
        return False
    # Who asks for a whole mark that has none of our bits can't mean a packet that we have marked.
    return use.verb == "writes" or not use.value or bool(use.value & ours)


def _collides(mask: int, value: int | None, *, ours: int) -> bool:
    """Whether bits of ours are claimed: those of a mask, or a whole mark that could be ours.

    Who takes the whole mark has thought of nobody, and need not meet our packets.
    """
    if mask == ALL_BITS:
        return value is not None and _is_one_of_ours(value, ours)
    return bool(mask & ours)


def _is_one_of_ours(value: int, ours: int) -> bool:
    return value != 0 and not value & ~ours


def _by_owner(uses: Iterable[MarkUse]) -> Iterator[tuple[str, list[MarkUse]]]:
    def owner(use: MarkUse) -> str:
        return owner_of_chain(use.table, use.chain, use.comment)

    ordered = sorted(uses, key=lambda use: (owner(use), use.table, use.chain, use.mask))
    for name, group in groupby(ordered, key=owner):
        yield name, list(group)


def _first(uses: list[MarkUse]) -> str:
    """The first of them in words, and how many more there are."""
    use = uses[0]
    kind = "packet" if use.subject == "packet" else "connection"
    if use.mask == ALL_BITS:
        what = f"the whole {kind} mark" if use.value is None else f"the {kind} mark {use.value:#x}"
    elif use.value is None:
        what = f"bits {use.mask:#x} of the {kind} mark"
    else:
        what = f"the {kind} mark {use.value:#x}/{use.mask:#x}"
    comment = f' ("{use.comment}")' if use.comment else ""
    return (
        f"table {use.table}, chain {use.chain}{comment} {_VERB[use.verb]} {what}"
        f"{_more(len(uses), 'rule')}"
    )


def _more(count: int, what: str) -> str:
    if count == 1:
        return ""
    return f" and {count - 1} more {what}{'' if count == 2 else 's'}"


def _rule(rule: OtherRule) -> str:
    return f'the {"ip -6" if rule.version == 6 else "ip"} rule "{rule.text}"'


def _by(owner: str) -> str:
    return f" by {owner}" if owner else ""
