import json
import logging
import subprocess
import sys
from functools import cache

import pytest

from outgate.daemon import log

SCRIPT = """
import logging, structlog
from outgate.daemon import log
log.configure(json={json}, level="{level}")
events = structlog.get_logger("tests")
events.debug("quiet")
events.info("rules applied", added=3)
logging.getLogger("urllib3").info("chatter")
logging.getLogger("urllib3").warning("pool is full")
token = "secret-value"
try:
    raise RuntimeError("no luck")
except RuntimeError:
    events.exception("failed")
"""


@cache
def lines(*, json: bool | None, level: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(json=json, level=level)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


@pytest.mark.parametrize("as_json", [True, None])
def test_away_from_a_terminal_each_event_is_one_line_of_json(as_json: bool | None) -> None:
    found = [json.loads(line) for line in lines(json=as_json, level="info")]
    assert [entry["event"] for entry in found] == ["rules applied", "pool is full", "failed"]
    assert found[0]["added"] == 3
    assert found[0]["level"] == "info"
    assert found[0]["time"].endswith("Z")
    assert found[1]["logger"] == "urllib3"


def test_a_traceback_shows_no_local_variables() -> None:
    text = lines(json=True, level="info")[-1]
    assert "RuntimeError: no luck" in text
    assert "secret-value" not in text


def test_text_for_people() -> None:
    text = "\n".join(lines(json=False, level="debug"))
    assert "quiet" in text
    assert "rules applied" in text
    assert "pool is full" in text
    assert "chatter" not in text


def test_a_level_that_is_none_is_refused() -> None:
    before = logging.getLogger().handlers[:]
    with pytest.raises(ValueError, match="debug, info, warning, error"):
        log.configure(level="loud")
    assert logging.getLogger().handlers == before
