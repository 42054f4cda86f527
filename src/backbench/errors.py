"""Everything that can be a user's mistake or an outside failure, as one tree.

::

    BackbenchError
      |-- TaskError        a task file, field, variant or option is wrong
      |-- StorageError     a file, disk or bucket cannot be read or written
      |     `-- ObjectError           one object is missing or damaged; its bucket works
      |-- SampleError      the samples are wrong: columns, ids, labels, groups, pictures
      |-- BackboneError    a backbone or its checkpoint is unknown or does not fit
      |     `-- WeightsMissingError   the weights are not here and cannot be fetched
      |-- FeatureError     a feature file is empty, truncated, foreign or does not fit
      |-- FoldError        folds cannot be made, or a group would sit on both sides
      |-- HeadError        a head's settings or inputs are wrong
      |-- MetricError      a metric is unknown or its inputs are wrong
      |-- TrackingError    the tracking server or registry cannot be reached or refuses
      |     |-- UnreachableError      it does not answer; runs recorded meanwhile wait in the spool
      |     `-- ForbiddenError        it lets this user read, and make no run
      |-- SchedulerError   SLURM is not there or refuses, or the site's settings are wrong
      |-- IncompleteError  units are missing, so no summary may be made
      `-- BoardError       runs cannot be ranked, or the champion may not be moved

Each carries one line that names what was given, what is allowed and what to do. The command line
prints that line and ends with status 2; nothing else is caught.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

_SHOWN = 5


class BackbenchError(Exception):
    """The root: one line for a person, no traceback."""


class TaskError(BackbenchError):
    """A task file, field, variant or option is wrong."""


class StorageError(BackbenchError):
    """A file, disk or bucket cannot be read or written."""


class ObjectError(StorageError):
    """One object of a bucket is missing or damaged; the bucket itself works."""


class SampleError(BackbenchError):
    """The samples are wrong: columns, ids, labels, groups or pictures."""


class BackboneError(BackbenchError):
    """A backbone or its checkpoint is unknown or does not fit."""


class WeightsMissingError(BackboneError):
    """The weights are not on this machine and cannot be fetched."""


class FeatureError(BackbenchError):
    """A feature file is empty, truncated, foreign or does not fit the samples."""


class FoldError(BackbenchError):
    """Folds cannot be made, or a group would sit on both sides."""


class HeadError(BackbenchError):
    """A head's settings or inputs are wrong."""


class MetricError(BackbenchError):
    """A metric is unknown or its inputs are wrong."""


class TrackingError(BackbenchError):
    """The tracking server or registry cannot be reached, or refuses."""


class UnreachableError(TrackingError):
    """The tracking server does not answer; runs recorded meanwhile wait in the spool."""


class ForbiddenError(TrackingError):
    """The tracking server lets this user read, and make no run."""


class SchedulerError(BackbenchError):
    """SLURM is not there or refuses, or the site's settings are wrong."""


class IncompleteError(BackbenchError):
    """Units are missing, so no summary may be made."""


class BoardError(BackbenchError):
    """Runs cannot be ranked, or the champion may not be moved."""


def unknown(what: str, given: str, allowed: Iterable[str]) -> str:
    """The line for a misspelt name: what was given, the nearest valid one, and all of them."""
    names = sorted(allowed)
    near = get_close_matches(given, names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"unknown {what} '{given}'.{hint} Allowed: {', '.join(names)}."


def some(names: Iterable[str]) -> str:
    """The first five names, with dots where there are more."""
    first = [*islice(names, _SHOWN + 1)]
    return ", ".join(first[:_SHOWN]) + (" ..." if len(first) > _SHOWN else "")


def counted(count: int, noun: str) -> str:
    """`1 fold`, `1,797 samples`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
