"""The model registry: champions with their evidence, moved by aliases and never by stages."""

import tempfile
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from backbench.errors import TrackingError
from backbench.runs import connection
from backbench.runs.redact import redacted
from backbench.runs.serving import Champion, Heads

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
MODEL = "model"
"""Where a run keeps its model among its artifacts."""

_REQUIRED = (
    "mlflow", "numpy", "pandas", "pillow", "safetensors", "scikit-learn", "scipy", "timm", "torch",
    "torchvision", "transformers", "open_clip_torch",
)  # fmt: skip


@dataclass(frozen=True)
class Version:
    """One registered model version; `evidence` are its tags."""

    name: str
    version: str
    run_id: str
    evidence: Mapping[str, str] = field(repr=False)
    source: str = field(default="", repr=False)

    @property
    def uri(self) -> str:
        """What `mlflow models serve -m` takes."""
        return f"models:/{self.name}/{self.version}"


def write_model(folder: Path, champion: Champion, heads: Heads) -> Path:
    """Write a champion as an MLflow model into `folder`, usually `run.artifact(MODEL)`.

    It holds the heads of all units and names the backbone; nothing in it is pickled. It is served
    where Backbench is installed: `mlflow models serve --env-manager local`.

    Raises:
        TrackingError: MLflow cannot write it.
        HeadError: no unit.
    """
    connection.configure()
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    params = [ParamSpec(name, "long", -1) for name in ("seed", "fold")]
    signature = ModelSignature(
        inputs=Schema([ColSpec("string", "image")]), params=ParamSchema(params)
    )
    with tempfile.TemporaryDirectory() as parts, warnings.catch_warnings(), connection.translated():
        warnings.simplefilter("ignore")  # the signature is given, so an example adds nothing
        champion.write(Path(parts) / CHAMPION, heads)
        mlflow.pyfunc.save_model(
            path=folder,
            python_model=str(Path(__file__).with_name("served_model.py")),
            artifacts={CHAMPION: str(Path(parts) / CHAMPION)},
            signature=signature,
            pip_requirements=[f"{name}=={installed(name)}" for name in _REQUIRED],
        )
    return folder


def contest_lock(name: str) -> FileLock:
    """Held from the look at who is champion of a model until the title is given.

    It keeps out other processes of this machine and home; the registry itself knows no such turn,
    so two machines that rank in the same moment may both register, and the later one has the title.
    """
    return connection.machine_lock("champion", f"{connection.tracking_uri()} {name}")


class Registry:
    """Registered models of the tracking server."""

    def current(self, name: str, alias: str = CHAMPION) -> Version | None:
        """Who holds an alias; None where nobody does.

        Raises:
            UnreachableError: the server does not answer.
            TrackingError: it refuses.
        """
        from mlflow.exceptions import MlflowException

        client = connection.connect()
        with connection.translated():
            try:
                return _version(client.get_model_version_by_alias(name, alias))
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise

    def register(
        self,
        name: str,
        run_id: str,
        *,
        evidence: Mapping[str, object],
        aliases: Iterable[str] = (),
        description: str = "",
        path: str = MODEL,
    ) -> Version:
        """Register the model among a run's artifacts; asking again gives the same version.

        Args:
            name: of the registered model, usually the task's.
            run_id: of a run on the server.
            evidence: kept as tags of the version.
            aliases: given to the version, taken from whoever has them.
            description: Markdown on the version's page.
            path: of the model among the artifacts.

        Raises:
            TrackingError: the run is still in the spool, or the server refuses.
        """
        if run_id.startswith("spool:"):
            raise TrackingError(
                "a model is registered from a run on the server, and this one waits in the spool; "
                "run `backbench sync`, then register again."
            )
        client = connection.connect()
        with connection.translated():
            _ensure(client, name)
            made = self._of_run(client, name, run_id) or client.create_model_version(
                name, f"runs:/{run_id}/{path}", run_id, description=redacted(description)
            )
            for key, value in evidence.items():
                client.set_model_version_tag(name, made.version, key, redacted(str(value)))
            for alias in aliases:
                client.set_registered_model_alias(name, alias, made.version)
            return _version(client.get_model_version(name, made.version))

    def download(self, version: Version) -> Path:
        """The champion's own folder (`champion.json`, `heads.safetensors`), as a local path."""
        from backbench.runs.tracker import Tracker

        tracker = Tracker()
        model = tracker.download(tracker.get(version.run_id), MODEL)
        return model / "artifacts" / CHAMPION

    @staticmethod
    def _of_run(client: "MlflowClient", name: str, run_id: str) -> Any:  # noqa: ANN401 - mlflow's
        found = client.search_model_versions(f"name = '{name}' AND run_id = '{run_id}'")
        return next(iter(found), None)


def _ensure(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _version(found: Any) -> Version:  # noqa: ANN401 - mlflow's ModelVersion
    return Version(
        name=found.name,
        version=str(found.version),
        run_id=found.run_id or "",
        evidence=dict(found.tags),
        source=found.source,
    )
