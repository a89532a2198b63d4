"""Whatever a node's rules were, one transaction makes them what they are to be."""

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from views import ruleset, settings, views

from outgate.api.view import DataPathSettings, NodeView
from outgate.rules.diff import diff, replace
from outgate.rules.fake import FakeKernel
from outgate.rules.model import (
    AddChain,
    AddCounter,
    AddElements,
    AddRules,
    AddSet,
    AddTable,
    DeleteChain,
    DeleteCounter,
    DeleteElements,
    DeleteSet,
    DeleteTable,
    FlushChain,
)
from outgate.rules.nft import render

unhurried = hypothesis_settings(deadline=None)  # the machine is shared


@unhurried
@given(views(), settings, views(), settings)
def test_applying_the_difference_makes_one_ruleset_into_the_other(
    before: NodeView, old: DataPathSettings, after: NodeView, new: DataPathSettings
) -> None:
    kernel = FakeKernel()
    kernel.apply(replace(ruleset(before, old)))

    kernel.apply(diff(kernel.observe(), ruleset(after, new)))

    assert kernel.observe() == ruleset(after, new)


@unhurried
@given(views(), settings)
def test_a_second_time_there_is_nothing_to_do(view: NodeView, settings: DataPathSettings) -> None:
    kernel = FakeKernel()
    kernel.apply(diff(kernel.observe(), ruleset(view, settings)))

    assert not diff(kernel.observe(), ruleset(view, settings))


@unhurried
@given(views(), settings, views(), settings)
def test_a_restart_replaces_whatever_it_finds(
    before: NodeView, old: DataPathSettings, after: NodeView, new: DataPathSettings
) -> None:
    kernel = FakeKernel()
    kernel.apply(replace(ruleset(before, old)))
    kernel.apply(replace(ruleset(after, new)))

    assert kernel.observe() == ruleset(after, new)


@unhurried
@given(views(), views(), settings)
def test_a_lost_device_gets_its_chains_again(
    before: NodeView, after: NodeView, settings: DataPathSettings
) -> None:
    kernel = FakeKernel()
    kernel.apply(replace(ruleset(before, settings)))
    kernel.delete_device(settings.device)
    kernel.add_device(settings.device)

    kernel.apply(diff(kernel.observe(), ruleset(after, settings)))

    assert kernel.observe() == ruleset(after, settings)


@unhurried
@given(views(), settings)
def test_equal_views_give_equal_text(view: NodeView, settings: DataPathSettings) -> None:
    assert render(replace(ruleset(view, settings))) == render(replace(ruleset(view, settings)))


GONE = (DeleteChain, DeleteCounter, DeleteElements, DeleteSet, DeleteTable, FlushChain)
COMING = (AddChain, AddCounter, AddElements, AddRules, AddSet, AddTable)


@given(views(), views(), settings, settings)
def test_interval_sets_never_change_and_nothing_goes_before_the_change(
    before: NodeView, after: NodeView, old: DataPathSettings, new: DataPathSettings
) -> None:
    """The kernel shows an interval set's elements later than the rules and all other elements."""
    transaction = diff(ruleset(before, old), ruleset(after, new))

    assert not any(isinstance(each, GONE) for each in transaction.before)
    assert not any(isinstance(each, COMING) for each in transaction.after)
    for each in transaction.operations:
        if isinstance(each, AddElements | DeleteElements):
            assert not each.type.interval
