"""What an operator may choose about the agent: checked here, so that nobody else has to.

The same names as the chart's values, as environment variables OUTGATE_* or flags.
"""

from dataclasses import dataclass, field
from pathlib import Path

from outgate.api import settings
from outgate.api.settings import SettingsWrong, tunnel_subnets
from outgate.api.view import TUNNEL_SUBNET4, TUNNEL_SUBNET6, DataPathSettings
from outgate.tunnel.underlay import DEFAULT_ROUTE
from outgate.vip.protocol import SOCKET_PATH

DEFAULTS = DataPathSettings()
HTTP_PORT = 7791
PLAN_PATH = "/debug/plan"
RESYNC = 3.0  # seconds: drift is repaired within 5
NAMED = "interface="
TABLE_MAX = 0x7FFFFFFF  # linux: table ids are 32 bits, tools print them as signed
RULE_PRIORITY_MIN = 3  # two of our rules stand before it
RULE_PRIORITY_MAX = 32764  # one stands behind it, below 32766, the main table's
RESERVED_TABLES = range(253, 256)  # default, main, local
MARK_MAX = 0xFFFFFFFF
LINK_NAME_MAX = 15  # linux: IFNAMSIZ - 1


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Everything that was chosen, valid.

    data_path: without what is only known on the node (MTU, underlay interface). detect: how the
    underlay interface is found. heartbeat: seconds between reports. resync: seconds between looks
    whether others changed what was programmed. http_port: 0 for any.
    """

    node: str
    data_path: DataPathSettings = field(default_factory=DataPathSettings)
    detect: str = DEFAULT_ROUTE
    heartbeat: float = 10.0
    resync: float = RESYNC
    http_port: int = HTTP_PORT
    vip_socket: Path = Path(SOCKET_PATH)


def data_path_settings(
    *,
    tunnel_subnet4: str = str(TUNNEL_SUBNET4),
    tunnel_subnet6: str = str(TUNNEL_SUBNET6),
    vxlan_id: int = 7789,
    vxlan_port: int = 7789,
    mark_mask: str = "0xff",
    table_base: int = 7700,
    rule_priority: int = 90,
    reply_route: bool = True,
    counters: bool = True,
    strict_start: bool = False,
    source_check: bool = True,
    accept_mark: str = "0",
) -> DataPathSettings:
    """Checks the data path's settings one by one and together. Raises SettingsWrong."""
    subnets = tunnel_subnets(tunnel_subnet4, tunnel_subnet6)
    mask = settings.mark_mask(mark_mask)
    accepted = _accept_mark(accept_mark, mask=mask)
    _within("vxlan-id", vxlan_id, 1, (1 << 24) - 1)
    _within("vxlan-port", vxlan_port, 1, 65535)
    _within("rule-priority", rule_priority, RULE_PRIORITY_MIN, RULE_PRIORITY_MAX)
    tables = mask // (mask & -mask)  # one for each mark, and the replies'
    _within("table-base", table_base, 1, TABLE_MAX - tables)
    used = range(table_base, table_base + tables + 1)
    if used.start < RESERVED_TABLES.stop and RESERVED_TABLES.start < used.stop:
        raise SettingsWrong(
            f"table-base {table_base}: tables {used.start} to {used.stop - 1} would be used, and "
            f"253 to 255 are the system's; choose {RESERVED_TABLES.stop} or more"
        )
    return DataPathSettings(
        vni=vxlan_id,
        port=vxlan_port,
        mark_mask=mask,
        table_base=table_base,
        rule_priority=rule_priority,
        tunnel_subnet4=subnets.ipv4,
        tunnel_subnet6=subnets.ipv6,
        reply_route=reply_route,
        counters=counters,
        strict_start=strict_start,
        source_check=source_check,
        accept_mark=accepted,
    )


def detect_method(text: str) -> str:
    """The way to find the underlay interface, if it is one. Raises SettingsWrong."""
    name = text.removeprefix(NAMED)
    named = text.startswith(NAMED) and 0 < len(name) <= LINK_NAME_MAX
    if text != DEFAULT_ROUTE and not (named and not set(name) & set("/ \t")):
        raise SettingsWrong(
            f"tunnel-detect-method {text!r}: must be {DEFAULT_ROUTE!r}, or "
            f"'{NAMED}NAME' with the name of an interface, as in 'interface=eth0'"
        )
    return text


def _accept_mark(text: str, *, mask: int) -> int:
    try:
        mark = int(text, 0)
    except ValueError as error:
        raise SettingsWrong(
            f"accept-mark {text!r}: must be a number, as in 0x10000; 0 for none"
        ) from error
    _within("accept-mark", mark, 0, MARK_MAX)
    if mark & mask:
        raise SettingsWrong(
            f"accept-mark {mark:#x}: has bits of the mark-mask {mask:#x}, which are Outgate's own; "
            f"it must be the mark by which another owner accepts, as Calico's 0x10000"
        )
    return mark


def _within(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise SettingsWrong(f"{what} {value}: must be in {least}..{most}")
