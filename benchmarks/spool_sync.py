"""How long `backbench sync` takes for runs with 44-step series, to a local server of MLflow.

    python benchmarks/spool_sync.py [RUNS]

Each run has two series of 44 steps, ten params, a data set and two artifacts. The server is
MLflow's own with its default workers, SQLite and a local folder. Prints one line.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from rich.console import Console

from backbench.runs import Tracker, recording, tags
from backbench.runs.sync import sync

STEPS = 44


def main(runs: int) -> None:
    """Record offline, start the server, sync, look whether all of it is there."""
    folder = Path(tempfile.mkdtemp())
    os.environ["BACKBENCH_HOME"] = str(folder)
    os.environ["BACKBENCH_OFFLINE"] = "1"
    for number in range(runs):
        record(number)
    process, uri = served(folder)
    try:
        os.environ["MLFLOW_TRACKING_URI"] = uri
        del os.environ["BACKBENCH_OFFLINE"]
        report = sync(console=Console(quiet=True))
        there = len(Tracker().find({tags.STAGE: "train_fold"}))
        rate = 1000 * report.seconds / runs
        print(f"{report}; {there} of {runs} found; {rate:.0f} ms a run, {rate:.0f} s for 1,000")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def record(number: int) -> None:
    """One run of a fold-by-fold training, into the spool."""
    with recording(
        experiment="digits",
        name=f"train {number}",
        tags={tags.STAGE: "train_fold", tags.SEED: number},
        params={f"task.field{i}": i for i in range(10)},
    ) as run:
        for step in range(STEPS):
            run.log_metrics({"by_fold/accuracy": step / STEPS, "by_fold/f1": 0.5}, step=step)
        run.artifact("predictions.parquet").write_bytes(os.urandom(20_000))
        run.artifact("task.json").write_text("{}")
        run.dataset("digits", "0" * 16, "builtin")


def served(folder: Path) -> tuple["subprocess.Popen[bytes]", str]:
    """A server that answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--backend-store-uri", f"sqlite:///{folder}/server.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
        except OSError:
            time.sleep(0.2)
        else:
            break
    return process, f"http://127.0.0.1:{port}"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
