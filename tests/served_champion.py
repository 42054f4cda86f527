"""The champion behind `mlflow models serve`, and questions to it: `served_champion()`."""

import base64
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import servers
from backbench.pipeline.chain import run_chain
from backbench.pipeline.question import Question
from small_task import small_task

MODEL = "models:/small@champion"


def crown(folder: Path) -> Path:
    """Run the small task in the present folder, which makes a champion; returns a picture of it."""
    run_chain(Question.ask(str(small_task(folder))), ["pixels"])
    return folder / "pictures" / "p000.png"


@contextmanager
def served_champion(folder: Path, model: str = MODEL) -> Iterator[str]:
    """The literal command of the README, in `folder`; yields the server's address."""
    port = servers.free_port()
    command = [
        sys.executable, "-m", "mlflow", "models", "serve",
        "-m", model, "--env-manager", "local", "--port", str(port),
    ]  # fmt: skip
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = os.environ | {
        "PATH": path,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    log = folder / "serve.log"
    with servers.running(command, variables, log, cwd=folder, whole_group=True) as process:
        url = f"http://127.0.0.1:{port}"
        servers.wait_until(lambda: servers.status_of(f"{url}/ping") == 200, process, log, 120)
        yield url


def as_text(picture: Path) -> str:
    """A picture in base64, as JSON carries it."""
    return base64.b64encode(picture.read_bytes()).decode()


def ask(url: str, question: object) -> tuple[int, dict]:
    """Status and answer of a POST to /invocations."""
    request = urllib.request.Request(
        f"{url}/invocations", json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
