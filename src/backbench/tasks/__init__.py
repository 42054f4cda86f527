"""What is asked: a task is a versioned TOML file of samples, folds, seeds, head and metrics."""

from backbench.tasks.protocol import Protocol
from backbench.tasks.task import (
    Expectation,
    FoldSettings,
    MetricSettings,
    Task,
    load_task,
    packaged_tasks,
)

__all__ = [
    "Expectation",
    "FoldSettings",
    "MetricSettings",
    "Protocol",
    "Task",
    "load_task",
    "packaged_tasks",
]
