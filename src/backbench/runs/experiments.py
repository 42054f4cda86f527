"""The experiment of a record on this server, by id or by name."""

from typing import TYPE_CHECKING

from backbench.errors import TrackingError
from backbench.runs.record import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient

_known: dict[tuple[int, str | None, str], str] = {}


def experiment_id(client: "MlflowClient", record: Record) -> str:
    """The record's experiment, made where it is missing; asked for once a process.

    Raises:
        TrackingError: it was deleted on the server.
    """
    key = (id(client), record.experiment_id, record.experiment)
    if key not in _known:
        by_id = record.experiment_id and _active(client, record.experiment_id)
        _known[key] = by_id or _by_name(client, record.experiment)
    return _known[key]


def _by_name(client: "MlflowClient", name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # another process was faster
    if found is None or found.lifecycle_stage != "active":
        number = found.experiment_id if found else "ID"
        raise TrackingError(
            f"the experiment '{name}' is deleted on this server. Restore it (mlflow experiments "
            f"restore -x {number}) or name another one: MLFLOW_EXPERIMENT_NAME."
        )
    return str(found.experiment_id)


def _active(client: "MlflowClient", number: str) -> str | None:
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_experiment(number)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return number if found.lifecycle_stage == "active" else None
