"""What a small cluster makes, as nft text that a human reviews (`pytest --update-golden`)."""

from pathlib import Path

import pytest
from views import SETTINGS, SMALL, SMALL_GATEWAY, ruleset

from outgate.api.view import NodeView
from outgate.rules.diff import diff, replace
from outgate.rules.model import Transaction
from outgate.rules.nft import render

GOLDEN = Path(__file__).parents[2] / "golden"


def check(name: str, transaction: Transaction, *, update: bool) -> None:
    path = GOLDEN / name
    text = render(transaction)
    if update:
        path.write_text(text)
    assert path.read_text() == text


@pytest.mark.parametrize(("name", "view"), [("worker.nft", SMALL), ("gateway.nft", SMALL_GATEWAY)])
def test_the_ruleset_is_the_reviewed_one(name: str, view: NodeView, update_golden: bool) -> None:
    check(name, replace(ruleset(view, SETTINGS)), update=update_golden)


def test_becoming_a_gateway_is_the_reviewed_change(update_golden: bool) -> None:
    change = diff(ruleset(SMALL, SETTINGS), ruleset(SMALL_GATEWAY, SETTINGS))

    check("worker-to-gateway.nft", change, update=update_golden)
