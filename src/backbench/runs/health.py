"""Whether tracking server and registry answer and can be written to; nothing is left behind."""

import os
import uuid
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from backbench.errors import TrackingError
from backbench.files.account import user_name
from backbench.runs import connection
from backbench.runs.redact import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient
    from mlflow.entities import Experiment

_DEFAULT_EXPERIMENT = "0"


def store() -> str:
    """The tracking URI without credentials."""
    return redacted(connection.tracking_uri())


def is_unmade() -> bool:
    """Whether the store is a SQLite file that the first run will make; asking would make it."""
    uri = connection.tracking_uri()
    return uri.startswith("sqlite:///") and not connection.sqlite_path(uri).exists()


def write_tag(experiment: str) -> str:
    """Set a tag on an experiment, read it back, delete it; returns the experiment's name.

    An experiment that does not exist yet is not made: one of the user's own takes its place, since
    a server with access control lets nobody but administrators write to `Default`.

    Raises:
        TrackingError: the server does not answer, refuses, or forgets.
    """
    client = connection.connect()
    with connection.translated():
        wanted = os.environ.get("MLFLOW_EXPERIMENT_NAME") or experiment
        found = client.get_experiment_by_name(wanted)
        with nullcontext(found) if found else _own_experiment(client) as place:
            _try_tag(client, place.experiment_id)
            return str(place.name)


def _try_tag(client: "MlflowClient", number: str) -> None:
    key = f"backbench.doctor.{uuid.uuid4().hex}"
    client.set_experiment_tag(number, key, "1")
    try:
        kept = client.get_experiment(number).tags.get(key)
    finally:
        client.delete_experiment_tag(number, key)
    if kept != "1":
        raise TrackingError(
            f"{store()} took a tag and forgot it; look into the server's log and its database."
        )


@contextmanager
def _own_experiment(client: "MlflowClient") -> "Iterator[Experiment]":
    """An experiment of this user for the length of the block; the next time it is the same one."""
    user = os.environ.get("MLFLOW_TRACKING_USERNAME") or user_name()
    name = f"backbench-doctor-{user}"
    found = client.get_experiment_by_name(name)
    if found is None:
        found = client.get_experiment(client.create_experiment(name))
    elif found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    try:
        yield found
    finally:
        client.delete_experiment(found.experiment_id)


def write_registry() -> int:
    """Make a registered model and delete it; returns how many models there are.

    Raises:
        TrackingError: the registry does not answer or refuses.
    """
    client = connection.connect()
    name = f"backbench-doctor-{uuid.uuid4().hex}"
    with connection.translated():
        client.create_registered_model(name)
        client.delete_registered_model(name)
        return _count(client)


def artifact_bucket(experiment: str) -> str | None:
    """`s3://bucket/path` where clients themselves write artifacts; None where the server does.

    Raises:
        TrackingError: the server does not answer or refuses.
    """
    client = connection.connect()
    with connection.translated():
        found = client.get_experiment_by_name(experiment) or client.get_experiment(
            _DEFAULT_EXPERIMENT
        )
    place = str(found.artifact_location)
    return place if urlsplit(place).scheme == "s3" else None


def server_date() -> str | None:
    """The `Date` header of the tracking server.

    Raises:
        TrackingError: it does not answer.
    """
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    uri = connection.tracking_uri()
    with connection.translated(uri):
        creds = get_default_host_creds(uri)
        seconds = connection.tracking_timeout()
        answer = http_request(
            creds, "/health", "GET", max_retries=0, timeout=seconds, raise_on_status=False
        )
    date = answer.headers.get("Date")
    return str(date) if date else None


def _count(client: "MlflowClient") -> int:
    count, token = 0, None
    while True:
        page = client.search_registered_models(max_results=1000, page_token=token)
        count, token = count + len(page), page.token
        if not token:
            return count
