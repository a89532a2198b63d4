"""Ports in use, towards the destination where they run out first."""

from collections.abc import Iterator
from contextlib import nullcontext
from ipaddress import ip_address

from structlog.testing import capture_logs

from outgate.agent.errors import FlowsRefused
from outgate.agent.port_watch import PortWatch
from outgate.agent.ports import PORTS, Binding, PortUse, port_use
from outgate.api.view import IPAddress

EIP, OTHER = ip_address("203.0.113.7"), ip_address("203.0.113.8")
NEAR, FAR = ip_address("198.51.100.9"), ip_address("198.51.100.10")
TCP, UDP, ICMP = 6, 17, 1


def flow(
    port: int, destination: IPAddress = NEAR, *, protocol: int = TCP, address: IPAddress = EIP
) -> Binding:
    return Binding(address, port, protocol, destination, 443)


def test_a_port_counts_once_for_each_destination() -> None:
    flows = [flow(1), flow(1), flow(1, FAR), flow(2), flow(3, FAR), flow(4, FAR)]

    assert port_use(flows, [EIP]) == {(EIP, "tcp"): PortUse(3, FAR, 443)}


def test_protocols_and_addresses_are_apart() -> None:
    flows = [flow(1), flow(1, protocol=UDP), flow(1, address=OTHER), flow(1, protocol=ICMP)]

    assert set(port_use(flows, [EIP, OTHER])) == {(EIP, "tcp"), (EIP, "udp"), (OTHER, "tcp")}


def test_what_others_translate_is_not_ours() -> None:
    assert port_use([flow(1, address=OTHER)], [EIP]) == {}


def test_the_alarm_comes_before_the_end() -> None:
    assert not PortUse(PORTS // 2, NEAR, 443).alarming
    assert PortUse(PORTS * 9 // 10, NEAR, 443).alarming


class Flows:
    def __init__(self, count: int) -> None:
        self.count = count
        self.asked = 0

    def bindings(self) -> Iterator[Binding]:
        self.asked += 1
        if self.count < 0:
            raise FlowsRefused("no")
        return (flow(port) for port in range(self.count))


def test_it_warns_once_when_ports_run_out_and_again_after_they_did_not() -> None:
    flows = Flows(60_000)
    watch = PortWatch(lambda: nullcontext(flows), addresses=lambda: [EIP])
    with capture_logs() as logs:
        for flows.count in (60_000, 60_000, 10, 60_000):
            watch.look()

    assert [entry["destination"] for entry in logs] == [f"{NEAR} port 443"] * 2
    assert watch.use()[EIP, "tcp"].used == 60_000


def test_a_node_without_addresses_is_not_looked_at() -> None:
    flows = Flows(1)
    watch = PortWatch(lambda: nullcontext(flows), addresses=list)

    watch.look()

    assert flows.asked == 0 and watch.use() == {}


def test_what_can_not_be_counted_is_said() -> None:
    with capture_logs() as logs:
        PortWatch(lambda: nullcontext(Flows(-1)), addresses=lambda: [EIP]).look()

    assert [entry["event"] for entry in logs] == ["ports not counted"]
