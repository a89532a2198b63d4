"""Logging set-up for every process of ours: structlog, JSON in a cluster, colours on a terminal."""

import logging
import sys
from typing import cast

import structlog
from structlog.typing import Processor

LEVELS = ("debug", "info", "warning", "error")

_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
)


def configure(*, json: bool | None = None, level: str = "info") -> None:
    """Send everything that is logged to stderr, one line an event.

    `json`: one JSON object a line; by default if stderr is no terminal. `level`: the least that is
    logged, one of `LEVELS`. What libraries log by the standard `logging` takes the same form, from
    "warning" on: urllib3 tells of every connection below that.
    Raises ValueError if the level has another name.
    """
    if level.lower() not in LEVELS:
        raise ValueError(f"log level {level!r} is none of {', '.join(LEVELS)}")
    threshold = logging.getLevelNamesMapping()[level.upper()]
    as_json = not sys.stderr.isatty() if json is None else json
    ours: list[Processor] = [*_SHARED, structlog.processors.StackInfoRenderer()]
    if as_json:
        # Text, not structlog's dict_tracebacks: that one logs local variables, tokens included.
        ours.append(structlog.processors.format_exc_info)
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*ours, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    _take_over_standard_logging(renderer, ours=ours, threshold=threshold)


def _take_over_standard_logging(
    renderer: Processor, *, ours: list[Processor], threshold: int
) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *ours],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [cast("logging.Handler", handler)]
    root.setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(capture=True)
