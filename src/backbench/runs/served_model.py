"""The script MLflow runs to load a champion ("models from code": no pickle is involved).

Input: a column `image` of pictures in base64. Output: `class`, `probability`, one column
`p_<class>` each, and `model_version`. Params: `seed` and `fold` ask one seed's or fold's units
alone; -1 means all.

Who asks over HTTP is not who started the server, so paths and `s3://` keys, which are read with the
rights and credentials of this process, are refused unless its environment has
`BACKBENCH_SERVE_PATHS=1`. Nothing here can tell a server from a notebook for certain; so the same
holds for both.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from backbench.errors import BackbenchError, SampleError
from backbench.files.switches import SERVE_PATHS, is_on
from backbench.runs.serving import Predictor


class ServedChampion(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """The champion of a task behind MLflow's `predict`."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401 - PythonModelContext
        """Load heads and backbone; refuse other weights than those it was trained on."""
        folder = Path(context.artifacts["champion"])
        self.predictor = Predictor(folder, paths=is_on(SERVE_PATHS))
        self.version = _version(folder)

    def predict(
        self,
        context: Any,  # noqa: ANN401 - PythonModelContext
        model_input: pd.DataFrame,
        params: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """One row a picture.

        Raises:
            MlflowException: something is wrong with what is asked; of other exceptions MLflow's
                server answers with the stack instead of the line.
        """
        del context
        params = params or {}
        seed, fold = int(params.get("seed", -1)), int(params.get("fold", -1))
        try:
            probabilities = self.predictor.probabilities(
                _pictures(model_input),
                seed=None if seed < 0 else seed,
                fold=None if fold < 0 else fold,
            )
        except BackbenchError as error:
            raise MlflowException(str(error), INVALID_PARAMETER_VALUE) from error
        classes = self.predictor.champion.classes
        table = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes])
        table.insert(0, "class", [classes[i] for i in probabilities.argmax(axis=1)])
        table.insert(1, "probability", probabilities.max(axis=1, initial=0.0))
        table["model_version"] = self.version
        return table


def _pictures(table: pd.DataFrame) -> list[str | bytes]:
    if "image" not in table.columns:
        raise SampleError(
            f"the columns are {', '.join(map(str, table.columns))}; one named 'image' is needed."
        )
    return list(table["image"])


def _version(folder: Path) -> str:
    """`name/version` where it was loaded from the registry, which leaves a file that says so."""
    import yaml

    for parent in folder.parents:
        about = parent / "registered_model_meta"
        if about.is_file():
            told = yaml.safe_load(about.read_text())
            return f"{told['model_name']}/{told['model_version']}"
        if (parent / "MLmodel").is_file():
            break
    return "not registered"


mlflow.models.set_model(ServedChampion())
