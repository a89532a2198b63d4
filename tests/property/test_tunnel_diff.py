"""Whatever a node's mesh was, and wherever the work stopped, it becomes what it is to be."""

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from views import settings, views

from outgate.api.view import DataPathSettings, NodeView
from outgate.tunnel.diff import diff
from outgate.tunnel.fake import FakeKernel
from outgate.tunnel.model import Mesh
from outgate.tunnel.plan import plan

unhurried = hypothesis_settings(deadline=None)  # the machine is shared


@unhurried
@given(views(), settings, views(), settings)
def test_applying_the_difference_makes_one_mesh_into_the_other(
    before: NodeView, old: DataPathSettings, after: NodeView, new: DataPathSettings
) -> None:
    kernel = FakeKernel()
    kernel.apply(diff(Mesh(), plan(before, old)))

    kernel.apply(diff(kernel.observe(), plan(after, new)))

    assert kernel.observe() == plan(after, new)
    assert diff(kernel.observe(), plan(after, new)) == ()


@unhurried
@given(views(), settings, views(), settings, st.data())
def test_interrupted_after_any_step_it_converges(
    before: NodeView,
    old: DataPathSettings,
    after: NodeView,
    new: DataPathSettings,
    data: st.DataObject,
) -> None:
    kernel = FakeKernel()
    kernel.apply(diff(Mesh(), plan(before, old)))
    operations = diff(kernel.observe(), plan(after, new))
    kernel.apply(operations[: data.draw(st.integers(0, len(operations)))])

    kernel.apply(diff(kernel.observe(), plan(after, new)))

    assert kernel.observe() == plan(after, new)


@unhurried
@given(views(), settings)
def test_all_of_it_can_be_taken_away(view: NodeView, settings: DataPathSettings) -> None:
    kernel = FakeKernel()
    kernel.apply(diff(Mesh(), plan(view, settings)))

    kernel.apply(diff(kernel.observe(), Mesh()))

    assert kernel.observe() == Mesh()
