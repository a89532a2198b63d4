"""What every process of ours counts about its tasks; for those that serve metrics."""

from prometheus_client import Counter

_FAILURES = Counter(
    "outgate_task_failures_total", "Times that a task ended though nobody had stopped it.", ["task"]
)


def task_failed(task: str) -> None:
    """Count that a task ended though nobody had stopped it."""
    _FAILURES.labels(task).inc()
