"""Which task of the agent gets which edge: made in one place, so that each can be made alone."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from outgate.agent import metrics
from outgate.agent.apply import Edges, Programmer, addresses_of
from outgate.agent.config import PLAN_PATH, AgentSettings
from outgate.agent.conntrack import Conntrack
from outgate.agent.heard import Heard
from outgate.agent.others import observe
from outgate.agent.plan_page import PlanPage
from outgate.agent.port_watch import PortWatch
from outgate.agent.prerequisites import missing
from outgate.agent.probes.course import Verdict, combined, uplink
from outgate.agent.probes.prober import Prober
from outgate.agent.probes.wanted import failed, forgiven, wanted
from outgate.agent.reconcile import NodeFacts, Pace, Reconciler
from outgate.agent.report import Reporter
from outgate.agent.stores import Stores
from outgate.agent.traffic import Traffic, read
from outgate.agent.vip_metrics import VipMetrics
from outgate.api.view import IPAddress
from outgate.daemon.http import Page
from outgate.daemon.task import Task
from outgate.kube.api import Api
from outgate.rules.errors import KernelRefused
from outgate.rules.kernel import NftKernel
from outgate.rules.plan import Planned
from outgate.tunnel.kernel import MeshKernel
from outgate.tunnel.underlay_news import UnderlayNews
from outgate.vip.client import VipClient, VipState

log = structlog.get_logger("outgate.agent")


@dataclass(frozen=True, slots=True)
class Parts:
    """The agent's tasks; the reconciler among them; counts of traffic, and of the vip process; the
    rules' last plan; pages; which gateways' probes fail, in words."""

    tasks: tuple[Task, ...]
    reconciler: Reconciler
    traffic: metrics.TrafficMetrics
    addresses: VipMetrics
    planned: Callable[[], Planned | None]
    pages: Mapping[str, Page]
    unfit: Callable[[], str]


def parts_of(api: Api, settings: AgentSettings, *, first_time: Callable[[], object]) -> Parts:
    """All that an agent is made of. first_time: called once, when the node is programmed."""
    stores = Stores()
    nft, mesh = NftKernel(), MeshKernel(settings.data_path)
    vip = VipClient(path=settings.vip_socket)
    heard, began = Heard(vip.state), time.monotonic()
    programmer = Programmer(Edges(nft=nft, mesh=mesh, conntrack=Conntrack, vip=vip))
    reconciler = Reconciler(
        stores,
        programmer,
        NodeFacts(
            name=settings.node,
            detect=settings.detect,
            host=mesh.host,
            missing=lambda: missing(settings.data_path),
            others=lambda: observe(settings.data_path),
            moved=UnderlayNews(protocol=settings.data_path.route_protocol).moved,
        ),
        settings=settings.data_path,
        pace=Pace(drift=settings.resync),
        first_time=first_time,
        claims=heard.claims,
        held_back=lambda: heard.waited_for(since=began, now=time.monotonic()),
    )

    def announcing() -> VipState | None:
        return vip.state() if vip.asked() else None

    prober = Prober()

    def fitness() -> Mapping[str, Verdict]:
        report = vip.state().report
        down = report.unfit if report is not None else {}
        return {
            gateway: combined(uplink(down.get(gateway, "")), probed)
            for gateway, probed in prober.fitness().items()
        }

    reporter = Reporter(
        api,
        node=settings.node,
        state=reconciler.state,
        vip=announcing,
        tunnel=lambda: stores.tunnels.get(settings.node),
        heartbeat=settings.heartbeat,
        claims=heard.own,
        said=heard.report,
        fitness=fitness,
    )

    def tell_unfit() -> None:
        spared = forgiven(stores.gateways.snapshot().values(), node=settings.node)
        verdicts = {n: one for n, one in prober.fitness().items() if n not in spared}
        vip.unfit({name: one.message for name, one in verdicts.items() if not one.fit})

    def fit() -> None:
        tell_unfit()
        reporter.changed()

    def probe() -> None:
        gateways = stores.gateways.snapshot().values()
        prober.want(
            wanted(gateways, node=settings.node), unfit=failed(gateways, node=settings.node)
        )

    prober.subscribe(fit)
    stores.gateways.subscribe(probe)
    stores.gateways.subscribe(tell_unfit)
    vip.subscribe(lambda: reconciler.claimed() if heard.news() else None)
    reconciler.subscribe(reporter.changed)
    vip.subscribe(reporter.changed)

    repairs = metrics.Repairs()
    vip.subscribe(lambda: repairs.seen(vip.state().report))

    def counted() -> Traffic:
        try:
            return read(nft.counts, programmer.planned())
        except KernelRefused as error:
            log.warning("traffic not counted", error=str(error))
            return Traffic({})

    def addresses() -> Iterable[IPAddress]:
        planned = programmer.planned()
        return addresses_of(planned.held) if planned else ()

    ports = PortWatch(Conntrack, addresses=addresses)

    page = PlanPage(
        node=settings.node,
        programmed=programmer.programmed,
        unready=reconciler.unready,
        nft=nft,
        mesh=lambda: MeshKernel(settings.data_path),
        vip=vip.state,
    )
    tasks = (
        *stores.reflectors(api, node=settings.node),
        vip,
        reconciler,
        reporter,
        ports,
        prober,
    )
    traffic = metrics.TrafficMetrics(counted, ports.use)
    return Parts(
        tasks,
        reconciler,
        traffic,
        VipMetrics(vip.state),
        programmer.planned,
        {PLAN_PATH: page},
        prober.unready,
    )
