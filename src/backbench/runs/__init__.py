"""Runs: recorded in a spool, replayed to MLflow, found by tag, and the registry of champions.

::

    with recording(...)  ->  spool directory  ->  replay  ->  MLflow
                                   `-- offline: waits for `backbench sync`, the same replay

MLflow is imported by nothing else in Backbench, and here only once it is needed.
"""

from backbench.runs import tags
from backbench.runs.environment import environment
from backbench.runs.open_run import Recording
from backbench.runs.record import Dataset
from backbench.runs.recorder import recording
from backbench.runs.tracker import Run, Tracker
from backbench.runs.view import share_view

__all__ = [
    "Dataset",
    "Recording",
    "Run",
    "Tracker",
    "environment",
    "recording",
    "share_view",
    "tags",
]
