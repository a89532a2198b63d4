"""One body for the fake mesh and the real one: both take and refuse the same."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from kernel.harness import Namespace
from views import FIRST, SETTINGS, SMALL, SMALL_GATEWAY, views

from outgate.api.view import DataPathSettings, NodeView
from outgate.tunnel.diff import diff
from outgate.tunnel.edge import Kernel
from outgate.tunnel.errors import KernelRefused
from outgate.tunnel.fake import FakeKernel
from outgate.tunnel.kernel import MeshKernel
from outgate.tunnel.model import (
    Add,
    AddLink,
    Bypass,
    Delete,
    DeleteLink,
    FdbEntry,
    Landing,
    Mesh,
    Neighbour,
    OuterRule,
    Route,
    Rule,
    Unmarked,
)
from outgate.tunnel.plan import plan


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.kernel)])
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    if request.param == "fake":
        yield FakeKernel()
        return
    namespace = Namespace("mesh")
    try:
        yield MeshKernel(SETTINGS, namespace=namespace.path)
    finally:
        namespace.delete()


def become(kernel: Kernel, view: NodeView, settings: DataPathSettings = SETTINGS) -> None:
    kernel.apply(diff(kernel.observe(), plan(view, settings)))
    assert kernel.observe() == plan(view, settings)


def test_there_is_nothing_before_the_start(kernel: Kernel) -> None:
    assert kernel.observe() == Mesh()


@pytest.mark.parametrize("view", [SMALL, SMALL_GATEWAY], ids=["worker", "gateway"])
def test_what_was_planned_is_what_is_observed(kernel: Kernel, view: NodeView) -> None:
    become(kernel, view)

    assert diff(kernel.observe(), plan(view, SETTINGS)) == ()


@pytest.mark.parametrize(
    ("view", "settings"),
    [
        (SMALL, replace(SETTINGS, mtu=1400)),
        (SMALL, replace(SETTINGS, vni=99)),
        (SMALL, replace(SETTINGS, port=4790)),
        (SMALL_GATEWAY, replace(SETTINGS, reply_route=False)),
        (replace(SMALL, peers=()), SETTINGS),
        (replace(SMALL, node=replace(SMALL.node, mac="02:00:00:00:07:07")), SETTINGS),
        (replace(SMALL, node=replace(SMALL.node, underlay=ip_address("192.0.2.77"))), SETTINGS),
        (replace(SMALL, node=replace(SMALL.node, tunnel6=None)), SETTINGS),
        (replace(SMALL, peers=(replace(FIRST, underlay=ip_address("192.0.2.78")),)), SETTINGS),
        (replace(SMALL, peers=(replace(FIRST, mac="02:00:00:00:08:08"),)), SETTINGS),
        (replace(SMALL, peers=(replace(FIRST, mark=9),)), SETTINGS),
        (replace(SMALL, node=replace(SMALL.node, underlay=ip_address("2001:db8::1"))), SETTINGS),
    ],
)
def test_a_change_is_what_was_planned_there_and_back(
    kernel: Kernel, view: NodeView, settings: DataPathSettings
) -> None:
    become(kernel, SMALL)
    become(kernel, view, settings)
    become(kernel, SMALL)


def test_all_of_it_goes(kernel: Kernel) -> None:
    become(kernel, SMALL_GATEWAY)

    kernel.apply(diff(kernel.observe(), Mesh()))

    assert kernel.observe() == Mesh()


REFUSALS: dict[str, Callable[[Mesh], Add | AddLink | Delete | DeleteLink]] = {
    "a second link": lambda mesh: AddLink(mesh.link) if mesh.link else DeleteLink("other"),
    "a neighbour that is there": lambda _: Add(Neighbour(ip_address("198.18.192.2"), FIRST.mac)),
    "a forwarding entry that is there": lambda _: Add(FdbEntry(FIRST.mac, FIRST.underlay)),
    "a route that is there": lambda _: Add(Route(7701, ip_address("198.18.192.2"))),
    "a rule that is there": lambda _: Add(Rule(4, 1, 0xFF, 7701)),
    "a rule for outer packets that is there": lambda _: Add(OuterRule(4, SETTINGS.port)),
    "a landing that is there": lambda _: Add(Landing(4)),
    "a bypass that is there": lambda _: Add(Bypass(4, SETTINGS.device)),
    "unmarked packets passed over that are": lambda _: Add(Unmarked(4, SETTINGS.mark_mask)),
    "no such neighbour": lambda _: Delete(Neighbour(ip_address("198.18.192.99"), FIRST.mac)),
    "no such forwarding entry": lambda _: Delete(FdbEntry("02:00:00:00:99:99", FIRST.underlay)),
    "no such route": lambda _: Delete(Route(7799, ip_address("198.18.192.2"))),
    "no such rule": lambda _: Delete(Rule(4, 99, 0xFF, 7799)),
}


@pytest.mark.parametrize("operation", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refused_operation_names_its_object(
    kernel: Kernel, operation: Callable[[Mesh], Add | AddLink | Delete | DeleteLink]
) -> None:
    become(kernel, SMALL)

    with pytest.raises(KernelRefused) as refusal:
        kernel.apply([operation(kernel.observe())])

    assert refusal.value.object and refusal.value.message
    assert kernel.observe() == plan(SMALL, SETTINGS)


@given(views(), views())
@hypothesis_settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_view_follows_any_other(kernel: Kernel, before: NodeView, after: NodeView) -> None:
    for view in (before, after):
        become(kernel, view)
