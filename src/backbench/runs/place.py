"""Whether a SQLite database of runs still lies where it was when MLflow wrote down their places.

MLflow keeps a whole path with every experiment. Of a project that was moved, or copied, it would
read and write the artifacts of the old place.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from backbench.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_DEFAULT = "mlruns"
_PAGE = 500
_RUN_ID = "[0-9a-f]" * 32


def check_place(client: "MlflowClient", database: Path) -> None:
    """Refuse a database whose runs lie beside it while it says that they are elsewhere.

    Artifacts that are elsewhere because MLflow was told so are not beside it too.

    Raises:
        TrackingError: its folder was moved or copied.
    """
    folder = database.absolute().parent
    for number, said in _local(client):
        here = folder / _DEFAULT / number
        if not _same(said, here) and _holds_a_run(client, here):
            raise TrackingError(_moved(database, here, said))


def _same(said: Path, here: Path) -> bool:
    """Also where one folder has two names: links, mounts, capitals on some file systems."""
    if said.exists() and here.exists():
        return said.samefile(here)
    return said.resolve() == here.resolve()


def _local(client: "MlflowClient") -> Iterator[tuple[str, Path]]:
    """Id and place of the experiments with artifacts in a folder of this machine."""
    token = None
    while True:
        page = client.search_experiments(max_results=_PAGE, page_token=token)
        for found in page:
            parts = urlsplit(found.artifact_location)
            if parts.scheme in ("", "file"):
                place = unquote(parts.path) if parts.scheme else found.artifact_location
                yield found.experiment_id, Path(place)
        token = page.token
        if not token:
            return


def _holds_a_run(client: "MlflowClient", folder: Path) -> bool:
    """Whether a folder has artifacts of this database's runs; another's may be beside it."""
    from mlflow.exceptions import MlflowException

    run = next(folder.glob(_RUN_ID), None)
    if run is None:
        return False
    try:
        return bool(client.get_run(run.name).info.experiment_id == folder.name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def _moved(database: Path, here: Path, said: Path) -> str:
    new, old = here.parent.parent, said.parent.parent
    was, cure = (
        ("copied", f"Work in {old}")
        if said.exists()
        else ("moved", f"Move it back, link the old place to it (ln -s {new} {old})")
    )
    return (
        f"{database} says that its runs have their artifacts in {said}, but they are in {here}: "
        f"the folder was {was}. {cure}, or move {database.name} and {_DEFAULT} away from {new} to "
        "begin anew."
    )
