"""How much memory heads take beside features that are too many to copy.

    python benchmarks/run.py --only memory [--small]

Features are float16 in a memory-mapped file, 1,000,000 x 768. Each head trains on them in a process
of its own, which watches its anonymous memory (`RssAnon`, so pages of the file do not count): the
peak less what stood before training, over the bytes that a float32 copy of the features would take.
Below 1 there is no second copy. `logreg` reads all rows hundreds of times. Each of three folds
tests a tenth of the rows and validates on another; for `knn`, which compares each of these with all
others, a thousandth.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from backbench.folds import Fold
from backbench.heads import Problem, Unit, train

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]
CLASSES, FOLDS = 10, 3
HEADS: Mapping[str, Mapping[str, object]] = {
    "linear": {"epochs": 1, "batch_size": 1024, "warmup_epochs": 0, "patience": 0},
    "mlp": {"epochs": 1, "batch_size": 1024, "warmup_epochs": 0, "patience": 0, "hidden": 64},
    "ridge": {"lambdas": [1.0, 100.0]},
    "logreg": {"C": 1.0},
    "knn": {"k": [5, 20]},
}
PARTS = {"knn": 1000}
"""Of how many parts a fold tests one, where it is not of ten."""


def measure(*, small: bool) -> dict[str, float]:
    """`memory_<head>_vs_copy`, and the seconds that each training took."""
    n, d = (4000, 32) if small else (1_000_000, 768)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X.npy"
        write_features(path, n, d)
        for head in HEADS:
            command = [sys.executable, __file__, head, str(path)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
            peak, seconds = json.loads(answer.stdout)
            found[f"memory_{head}_vs_copy"] = peak / (4 * n * d)
            found[f"memory_{head}_seconds"] = seconds
            print(f"{head:12} {peak / 2**20:8.0f} MiB {seconds:8.1f} s", flush=True)
    return found | {"memory_rows": float(n)}


def write_features(path: Path, n: int, d: int) -> None:
    """Two hints of the class in noise, block by block."""
    X = np.lib.format.open_memmap(path, "w+", np.float16, (n, d))
    rng = np.random.default_rng(0)
    for start in range(0, n, 50_000):
        rows = np.arange(start, min(start + 50_000, n))
        block = rng.standard_normal((len(rows), d), np.float32)
        block[np.arange(len(rows)), rows % CLASSES] += 2
        X[rows] = block
    X.flush()


def _train(head: str, path: str) -> None:
    """What one process does: train, and tell peak bytes and seconds."""
    X = np.load(path, mmap_mode="r")
    rows = np.arange(len(X))
    parts = PARTS.get(head, 10)
    sides = [_sides(rows, fold, parts) for fold in range(FOLDS)]
    folds = [Fold(i, str(i), *(rows[side] for side in of_fold)) for i, of_fold in enumerate(sides)]
    problem = Problem(X, rows % CLASSES, CLASSES, FOLDS)
    before, watch = _anonymous(), Watch()
    start = time.perf_counter()
    with watch:
        train({"kind": head, **HEADS[head]}, problem, [Unit(fold, 0) for fold in folds])
    print(json.dumps([watch.peak - before, time.perf_counter() - start]))


def _sides(rows: Rows, fold: int, parts: int) -> tuple[Mask, Mask, Mask]:
    """One part tests, one validates, the others train."""
    part = rows // CLASSES % parts
    test, val = part == fold, part == fold + 1
    return ~test & ~val, val, test


class Watch(threading.Thread):
    """The largest anonymous memory seen, every 20 ms."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self.stopped = 0, threading.Event()

    def run(self) -> None:
        """Look until stopped."""
        while not self.stopped.wait(0.02):
            self.peak = max(self.peak, _anonymous())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.stopped.set()
        self.join()


def _anonymous() -> int:
    """Bytes of anonymous memory of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("RssAnon is not in /proc/self/status; this needs Linux.")


if __name__ == "__main__":  # one of the processes that are measured
    _train(*sys.argv[1:])
